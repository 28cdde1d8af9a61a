"""VideoMAE in the layouts of Hugging Face transformers, version 5 and before; without the decoder of pre-training."""

from __future__ import annotations

from harness.model.weights.layout import PARTS, Rule, WeightsLayout, affine, module_rules

_BLOCK = r"videomae\.encoder\.layer\.(\d+)"
_ATTENTION = _BLOCK + r"\.attention\.attention\."
_NAMES = {
    "layernorm_before": "norm1",
    "attention.output.dense": "attn.proj",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
_DECODER = "belongs to the decoder of pre-training"

LAYOUT = WeightsLayout(
    name="hf_videomae",
    summary="VideoMAE of transformers",
    present=(r"videomae\.encoder\.layer\.0\..*",),
    rules=(
        affine("videomae.embeddings.patch_embeddings.projection", "embed.proj"),
        *module_rules(_BLOCK, "encoder.blocks", _NAMES),
        *(
            Rule(rf"{_ATTENTION}{name}\.weight", r"encoder.blocks.\1.attn.qkv.weight", part=part)
            for part, name in zip(PARTS, ("query", "key", "value"), strict=True)
        ),
        Rule(_ATTENTION + r"(?:query\.bias|q_bias)", r"encoder.blocks.\1.attn.q_bias"),
        Rule(_ATTENTION + r"(?:value\.bias|v_bias)", r"encoder.blocks.\1.attn.v_bias"),
        affine("videomae.layernorm", "readout.norm"),
        affine("fc_norm", "readout.norm"),
        affine("classifier", "head"),
        Rule(r"mask_token|encoder_to_decoder\.weight|decoder\..*", None, reason=_DECODER),
    ),
    expects={
        "norm_eps": 1e-12,
        "final_norm_eps": 1e-5,
        "gelu": "erf",
        "joint_position": "sincos",
        "qkv_bias": "qv",
        "pixel_mean": [0.485, 0.456, 0.406],
        "pixel_std": [0.229, 0.224, 0.225],
    },
)
