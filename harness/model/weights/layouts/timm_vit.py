"""Image ViTs in the layout of timm (and TimeSformer's space-only model, which has the same keys)."""

from __future__ import annotations

from harness.model.weights.layout import TIMM_BLOCK, Rule, WeightsLayout, affine, module_rules

LAYOUT = WeightsLayout(
    name="timm_vit",
    summary="image ViT of timm",
    present=(r"blocks\.0\.attn\.qkv\.weight", r"patch_embed\.proj\.weight"),
    absent=(r"time_embed", r"temp_embed", r"st_embed", r"patch_embed_3d\..*", r"blocks\.0\.temporal_.*"),
    rules=(
        Rule(r"(cls_token|pos_embed)", r"embed.\1"),
        affine("patch_embed.proj", "embed.proj"),
        *module_rules(r"blocks\.(\d+)", "encoder.blocks", TIMM_BLOCK),
        affine("norm", "readout.norm"),
        affine("fc_norm", "readout.norm"),
        affine("pre_logits.fc", "pre_logits"),
        affine("head", "head"),
    ),
    spatial="bicubic_antialias",
    expects={"norm_eps": 1e-6, "gelu": "erf"},
)
