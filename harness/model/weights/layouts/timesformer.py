"""Checkpoints of the TimeSformer code: divided and joint (space-only ones have the keys of timm_vit)."""

from __future__ import annotations

from harness.model.weights.layout import TIMM_BLOCK, Rule, WeightsLayout, affine, module_rules

_TEMPORAL = {name: name for name in ("temporal_norm1", "temporal_attn.qkv", "temporal_attn.proj", "temporal_fc")}

LAYOUT = WeightsLayout(
    name="timesformer",
    summary="TimeSformer code",
    present=(r"time_embed", r"blocks\.0\.attn\.qkv\.weight"),
    rules=(
        Rule(r"(cls_token|pos_embed)", r"embed.\1"),
        Rule(r"time_embed", "embed.temporal_embed"),
        affine("patch_embed.proj", "embed.proj"),
        *module_rules(r"blocks\.(\d+)", "encoder.blocks", TIMM_BLOCK | _TEMPORAL),
        affine("norm", "readout.norm"),
        affine("head", "head"),
    ),
    spatial="nearest",
    temporal="nearest",
    expects={"norm_eps": 1e-6, "gelu": "erf", "pixel_mean": [0.45, 0.45, 0.45], "pixel_std": [0.225, 0.225, 0.225]},
)
