"""TimeSformer in the layout of Hugging Face transformers."""

from __future__ import annotations

from harness.model.weights.layout import Rule, WeightsLayout, affine, module_rules

_EMBEDDINGS = r"timesformer\.embeddings\."
_NAMES = {
    "layernorm_before": "norm1",
    "attention.attention.qkv": "attn.qkv",
    "attention.output.dense": "attn.proj",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "temporal_layernorm": "temporal_norm1",
    "temporal_attention.attention.qkv": "temporal_attn.qkv",
    "temporal_attention.output.dense": "temporal_attn.proj",
    "temporal_dense": "temporal_fc",
}

LAYOUT = WeightsLayout(
    name="hf_timesformer",
    summary="TimeSformer of transformers",
    present=(r"timesformer\.encoder\.layer\.0\..*",),
    rules=(
        Rule(_EMBEDDINGS + "cls_token", "embed.cls_token"),
        Rule(_EMBEDDINGS + "position_embeddings", "embed.pos_embed"),
        Rule(_EMBEDDINGS + "time_embeddings", "embed.temporal_embed"),
        affine("timesformer.embeddings.patch_embeddings.projection", "embed.proj"),
        *module_rules(r"timesformer\.encoder\.layer\.(\d+)", "encoder.blocks", _NAMES),
        affine("timesformer.layernorm", "readout.norm"),
        affine("classifier", "head"),
    ),
    spatial="nearest",
    temporal="nearest",
    expects={"norm_eps": 1e-6, "gelu": "erf", "pixel_mean": [0.45, 0.45, 0.45], "pixel_std": [0.225, 0.225, 0.225]},
)
