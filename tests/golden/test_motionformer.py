"""Trajectory, joint and divided attention against the Motionformer code: same weights and clip, same logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.model.video_transformer import VideoTransformer
from harness.nn.config import ModelConfig
from harness.sweep.schema import ClassTokenReadout
from tests.golden.official import DTYPES, TOLERANCE, Golden, difference, load, logits, renamed, video_transformer

VARIANTS: dict[str, dict[str, Any]] = {
    "motionformer_trajectory": {"name": "trajectory", "value_path": "published"},
    "motionformer_trajectory_fixed": {"name": "trajectory", "value_path": "corrected"},
    "motionformer_joint": {"name": "joint"},
    "motionformer_divided": {"name": "divided", "class_mode": "global", "temporal_fc": "none"},
}
RULES = [
    (r"(cls_token|pos_embed)", r"embed.\1"),
    (r"temp_embed", "embed.temporal_embed"),
    (r"patch_embed_3d\.(proj\..*)", r"embed.\1"),
    (r"patch_embed\..*", None),  # present in the official model, used only without tubelets
    (r"(blocks\.\d+\.)timeattn(\..*)", r"encoder.\1temporal_attn\2"),
    (r"(blocks\.\d+\.)norm3(\..*)", r"encoder.\1temporal_norm1\2"),
    (r"(blocks\..*)", r"encoder.\1"),
    (r"(norm\..*)", r"readout.\1"),
    (r"pre_logits\.fc\.(.*)", r"pre_logits.\1"),
    (r"head\.(.*)", r"heads.label.\1"),
]


def build(golden: Golden, variant: dict[str, Any], **changed: object) -> VideoTransformer:
    """Build our model of the configuration in the file, except for the `changed` fields of the trunk."""
    config = golden.config
    fields = {
        **{key: config[key] for key in ("embed_dim", "depth", "num_heads", "num_frames", "patch_size", "mlp_ratio")},
        "crop_size": config["img_size"],
        "tubelet_size": config["tubelet"],
        "pre_logits": config["head_act"],
        **changed,
    }
    readout = ClassTokenReadout(name="class_token")
    state = renamed(golden.state, RULES)
    return video_transformer(ModelConfig(**fields), variant, readout, config["num_classes"], state)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VARIANTS)
def test_logits_equal_the_official_ones(name: str, dtype: torch.dtype) -> None:
    golden = load(name)
    got = logits(build(golden, VARIANTS[name]), golden.values["input"], dtype)
    assert difference(got, golden.values["logits64"]) <= TOLERANCE[dtype]


@pytest.mark.parametrize("changed", [{"norm_eps": 1e-5}, {"gelu": "tanh"}])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_wrong_norm_or_activation_changes_the_output(name: str, changed: dict[str, object]) -> None:
    golden = load(name)
    got = logits(build(golden, VARIANTS[name], **changed), golden.values["input"])
    assert difference(got, golden.values["logits64"]) > 1e-6


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("motionformer_trajectory", {"value_path": "corrected"}),
        ("motionformer_trajectory_fixed", {"value_path": "published"}),
        ("motionformer_divided", {"order": "space_time"}),
    ],
)
def test_another_scheme_changes_the_output(name: str, changed: dict[str, str]) -> None:
    golden = load(name)
    got = logits(build(golden, VARIANTS[name] | changed), golden.values["input"])
    assert difference(got, golden.values["logits64"]) > 0.1
