"""Space-time mixing against the released X-ViT code: same weights and clip, same logits.

The files keep the official logits in float32 only, so the float64 bound is their rounding, 1e-6.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from harness.model.video_transformer import VideoTransformer
from harness.nn.config import ModelConfig
from harness.sweep.schema import MeanFramesReadout, ReadoutConfig, TemporalAttentionReadout
from tests.golden.official import DTYPES, Golden, difference, load, logits, renamed, video_transformer

FILES = ["xvit_div8_mean", "xvit_div4_ta"]
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5}
RULES = [
    (r"base_model\.(cls_token|pos_embed)", r"embed.\1"),
    (r"base_model\.temp_embed", "embed.temporal_embed"),
    (r"base_model\.patch_embed\.(proj\..*)", r"embed.\1"),
    (r"base_model\.(blocks\..*)", r"encoder.\1"),
    (r"base_model\.(norm\..*)", r"readout.\1"),
    (r"base_model\.head\.(.*)", r"heads.label.\1"),
    (r"consensus\.cls_token", "readout.token"),
    (r"consensus\.temporal_encoder\.(.*)", r"readout.blocks.\1"),
    (r"consensus\.mlp_head\.0\.(.*)", r"readout.token_norm.\1"),
    (r"consensus\.mlp_head\.1\.(.*)", r"readout.hidden.0.\1"),
    (r"consensus\.mlp_head\.4\.(.*)", r"heads.label.\1"),
]


def build(golden: Golden, **changed: object) -> VideoTransformer:
    """Build our model of the configuration in the file, except for the `changed` fields of the variant."""
    config = golden.config
    model = ModelConfig(
        embed_dim=config["d"], depth=config["L"], num_heads=config["h"], num_frames=config["T"], crop_size=224,
        patch_size=config["patch"],
    )  # fmt: skip
    readout: ReadoutConfig = MeanFramesReadout(name="mean_frames", norm="before")
    if config["agg"] == "vit":
        readout = TemporalAttentionReadout(name="temporal_attention", head="released")
    variant = {"name": "mixing", "channel_layout": "concat", "mixed_fraction": 2 / config["div"], **changed}
    return video_transformer(model, variant, readout, config["classes"], renamed(golden.state, RULES))


def clip(golden: Golden) -> Tensor:
    """Return the 224-pixel clip (B, C, T, H, W); the file has every eighth pixel."""
    return golden.values["input_28"].repeat_interleave(8, dim=-1).repeat_interleave(8, dim=-2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FILES)
def test_logits_equal_the_official_ones(name: str, dtype: torch.dtype) -> None:
    golden = load(name)
    assert difference(logits(build(golden), clip(golden), dtype), golden.values["logits"]) <= TOLERANCE[dtype]


@pytest.mark.parametrize("name", FILES)
def test_the_direction_of_the_shift_changes_the_output(name: str) -> None:
    """Reversing clip and temporal positions reverses the shift, since neither readout uses the order of frames."""
    golden = load(name)
    model = build(golden)
    with torch.no_grad():
        model.embed.temporal_embed.copy_(model.embed.temporal_embed.flip(1).clone())  # type: ignore[union-attr]
    assert difference(logits(model, clip(golden).flip(2)), golden.values["logits"]) > 1e-3


@pytest.mark.parametrize("changed", [{"channel_layout": "per_head"}, {"ends": "replicate"}, {"mixed": "key"}])
@pytest.mark.parametrize("name", FILES)
def test_another_mixing_changes_the_output(name: str, changed: dict[str, str]) -> None:
    golden = load(name)
    assert difference(logits(build(golden, **changed), clip(golden)), golden.values["logits"]) > 1e-4
