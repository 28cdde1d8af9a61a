"""Checkpoints of the Motionformer code: trajectory, joint and divided attention."""

from __future__ import annotations

from harness.model.weights.layout import TIMM_BLOCK, Rule, WeightsLayout, affine, module_rules

_NAMES = TIMM_BLOCK | {
    "norm3": "temporal_norm1",
    "timeattn.qkv": "temporal_attn.qkv",
    "timeattn.proj": "temporal_attn.proj",
    "attn.proj_q": "attn.proj_q",
    "attn.proj_kv": "attn.proj_kv",
}

LAYOUT = WeightsLayout(
    name="motionformer",
    summary="Motionformer code",
    present=(r"temp_embed|st_embed", r"blocks\.0\.attn\.qkv\.weight"),
    rules=(
        Rule(r"(cls_token|pos_embed)", r"embed.\1"),
        Rule(r"temp_embed", "embed.temporal_embed"),
        Rule(r"st_embed", "embed.joint_embed"),
        Rule(r"patch_embed_3d\.proj\.(weight|bias)", r"embed.proj.\1", tubelets=True),
        Rule(r"patch_embed\.proj\.(weight|bias)", None, reason="not used with tubelets", tubelets=True),
        Rule(r"patch_embed\.proj\.(weight|bias)", r"embed.proj.\1", tubelets=False),
        Rule(r"patch_embed_3d\.proj\.(weight|bias)", None, reason="not used without tubelets", tubelets=False),
        *module_rules(r"blocks\.(\d+)", "encoder.blocks", _NAMES),
        affine("norm", "readout.norm"),
        affine("pre_logits.fc", "pre_logits"),
        affine("head", "head"),
    ),
    spatial="bicubic",
    expects={"norm_eps": 1e-6, "gelu": "erf", "pixel_mean": [0.5, 0.5, 0.5], "pixel_std": [0.5, 0.5, 0.5]},
)
