"""Sizes that follow from others: refused when the sweep is planned where they would be 0, rounded and not cut."""

from __future__ import annotations

import pytest
import torch

from harness.api import TrunkGeometry
from harness.errors import Fault, UserError
from harness.model.video_transformer import VideoTransformer
from harness.python_api.targets import plan_target
from harness.sweep.schema import TrialConfig

TRUNK = {"depth": 1, "num_heads": 4, "num_frames": 4, "height": 2, "width": 2}
#: 16 patches of a frame
SMALL = ["model.size=demo", "model.crop_size=16", "model.patch_size=4", "model.num_frames=4"]


def faults(variant: str, *settings: str) -> list[Fault]:
    with pytest.raises(UserError) as caught:
        plan_target(variant, [*SMALL, *settings], [])
    return list(caught.value.faults)


@pytest.mark.parametrize("variant", ["spatial_only", "mixing", "local_window", "token_shift", "factorised_encoder"])
def test_more_summaries_than_patches_are_refused(variant: str) -> None:
    (fault,) = faults(variant, "global_tokens.summary=17")
    assert fault.path == "global_tokens.summary=17"
    assert fault.message == "17 given; a frame has 16 patches, so at most 16"


def test_as_many_summaries_as_patches_give_numbers() -> None:
    config = plan_target("spatial_only", [*SMALL, "global_tokens.summary=16"], []).trials[0].config
    trial = TrialConfig(**config)
    out = VideoTransformer.of(trial, {"label": 3})(torch.zeros(1, 4, 3, 16, 16, dtype=torch.uint8))
    assert out["label"].isfinite().all()


@pytest.mark.parametrize(
    ("embed_dim", "mlp_ratio", "width"),
    [(480, 4.1, 1968), (48, 4.0, 192), (100, 2.56, 256), (1000, 0.57, 570), (48, 2.66, 128), (10, 0.25, 2)],
)
def test_the_width_of_the_mlp_is_rounded(embed_dim: int, mlp_ratio: float, width: int) -> None:
    assert TrunkGeometry(embed_dim=embed_dim, mlp_ratio=mlp_ratio, **TRUNK).mlp_dim == width


def test_an_mlp_without_width_is_refused() -> None:
    (fault,) = faults("joint", "model.mlp_ratio=0.01")
    assert fault.path == "model.mlp_ratio=0.01"
    assert fault.message == "a hidden width of 0.01 x 48 rounds to 0; at least 0.0208 makes 1"
    (fault,) = faults("factorised_encoder", "variant.temporal_mlp_ratio=0.01")
    assert fault.path == "variant.temporal_mlp_ratio=0.01"
    assert fault.message == "a hidden width of 0.01 x 48 rounds to 0; at least 0.0208 makes 1"
    assert plan_target("joint", [*SMALL, "model.mlp_ratio=0.0208"], []).trials
