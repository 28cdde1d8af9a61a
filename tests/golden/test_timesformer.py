"""Divided, joint and space-only attention against the TimeSformer code: same weights and clip, same logits."""

from __future__ import annotations

import pytest
import torch

from harness.model.video_transformer import VideoTransformer
from harness.nn.config import ModelConfig
from harness.sweep.schema import ClassTokenReadout, MeanFramesReadout, ReadoutConfig
from tests.golden.official import DTYPES, TOLERANCE, Golden, difference, load, logits, renamed, video_transformer

VARIANTS = {"timesformer_divided": "divided", "timesformer_joint": "joint", "timesformer_space": "spatial_only"}
RULES = [
    (r"(cls_token|pos_embed)", r"embed.\1"),
    (r"time_embed", "embed.temporal_embed"),
    (r"patch_embed\.(proj\..*)", r"embed.\1"),
    (r"(blocks\..*)", r"encoder.\1"),
    (r"(norm\..*)", r"readout.\1"),
    (r"head\.(.*)", r"heads.label.\1"),
]


def build(name: str, golden: Golden, **changed: object) -> VideoTransformer:
    """Build our model of the configuration in the file, except for the `changed` fields of the trunk."""
    config, spatial = golden.config, VARIANTS[name] == "spatial_only"
    fields = {
        **{key: config[key] for key in ("embed_dim", "depth", "num_heads", "num_frames", "patch_size", "mlp_ratio")},
        "crop_size": config["img_size"],
        "temporal_position": "none" if spatial else "learned",
        **changed,
    }
    readout: ReadoutConfig = ClassTokenReadout(name="class_token")
    if spatial:
        readout = MeanFramesReadout(name="mean_frames", norm="after")
    state = renamed(golden.state, RULES)
    return video_transformer(ModelConfig(**fields), {"name": VARIANTS[name]}, readout, config["num_classes"], state)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VARIANTS)
def test_logits_equal_the_official_ones(name: str, dtype: torch.dtype) -> None:
    golden = load(name)
    got = logits(build(name, golden), golden.values["input"], dtype)
    assert difference(got, golden.values["logits64"]) <= TOLERANCE[dtype]


@pytest.mark.parametrize("changed", [{"norm_eps": 1e-5}, {"gelu": "tanh"}])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_wrong_norm_or_activation_changes_the_output(name: str, changed: dict[str, object]) -> None:
    golden = load(name)
    got = logits(build(name, golden, **changed), golden.values["input"])
    assert difference(got, golden.values["logits64"]) > 1e-6
