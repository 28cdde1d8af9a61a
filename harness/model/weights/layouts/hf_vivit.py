"""ViViT model 1 in the layouts of Hugging Face transformers, version 5 and before."""

from __future__ import annotations

from harness.model.weights.layout import PARTS, Rule, WeightsLayout, affine, module_rules

_NEW = r"vivit\.layers\.(\d+)"
_OLD = r"vivit\.encoder\.layer\.(\d+)"
_QKV = r"encoder.blocks.\1.attn.qkv.\2"
_NAMES_NEW = {
    "layernorm_before": "norm1",
    "attention.o_proj": "attn.proj",
    "layernorm_after": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_NAMES_OLD = {
    "layernorm_before": "norm1",
    "attention.output.dense": "attn.proj",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}

LAYOUT = WeightsLayout(
    name="hf_vivit",
    summary="ViViT model 1 of transformers",
    present=(r"vivit\.(encoder\.layer|layers)\.0\..*",),
    rules=(
        Rule(r"vivit\.embeddings\.cls_token", "embed.cls_token"),
        Rule(r"vivit\.embeddings\.position_embeddings", "embed.joint_embed"),
        affine("vivit.embeddings.patch_embeddings.projection", "embed.proj"),
        *module_rules(_NEW, "encoder.blocks", _NAMES_NEW),
        *(Rule(rf"{_NEW}\.attention\.{part}_proj\.(weight|bias)", _QKV, part=part) for part in PARTS),
        *module_rules(_OLD, "encoder.blocks", _NAMES_OLD),
        *(
            Rule(rf"{_OLD}\.attention\.attention\.{name}\.(weight|bias)", _QKV, part=part)
            for part, name in zip(PARTS, ("query", "key", "value"), strict=True)
        ),
        affine("vivit.layernorm", "readout.norm"),
        Rule(r"vivit\.pooler\..*", None, reason="the classifier reads the class token without a pooler"),
        affine("classifier", "head"),
    ),
    spatial="bilinear_corners",
    temporal="linear",
    expects={"norm_eps": 1e-6, "gelu": "tanh", "pixel_mean": [0.5, 0.5, 0.5], "pixel_std": [0.5, 0.5, 0.5]},
)
