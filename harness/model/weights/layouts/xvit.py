"""Checkpoints of the released X-ViT code: a frame ViT, and the temporal-attention head if there is one."""

from __future__ import annotations

from harness.model.weights.layout import TIMM_BLOCK, Rule, WeightsLayout, affine, module_rules

LAYOUT = WeightsLayout(
    name="xvit",
    summary="released X-ViT code",
    present=(r"base_model\.temp_embed", r"base_model\.blocks\.0\.attn\.qkv\.weight"),
    rules=(
        Rule(r"base_model\.(cls_token|pos_embed)", r"embed.\1"),
        Rule(r"base_model\.temp_embed", "embed.temporal_embed", transform=lambda x: x.squeeze(2)),
        affine("base_model.patch_embed.proj", "embed.proj"),
        *module_rules(r"base_model\.blocks\.(\d+)", "encoder.blocks", TIMM_BLOCK),
        affine("base_model.norm", "readout.norm"),
        affine("base_model.head", "head"),
        Rule(r"consensus\.cls_token", "readout.token"),
        *module_rules(r"consensus\.temporal_encoder\.(\d+)", "readout.blocks", TIMM_BLOCK),
        affine("consensus.mlp_head.0", "readout.token_norm"),
        affine("consensus.mlp_head.1", "readout.hidden.0"),
        affine("consensus.mlp_head.4", "head"),
        Rule(r"new_fc\.(weight|bias)", None, reason="a classifier that the released code never calls"),
    ),
    spatial="bicubic",
    temporal="tile",
    expects={"norm_eps": 1e-6, "gelu": "erf", "pixel_mean": [0.5, 0.5, 0.5], "pixel_std": [0.5, 0.5, 0.5]},
)
