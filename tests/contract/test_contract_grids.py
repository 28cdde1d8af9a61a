"""The contract of variants that reshape the grid, at settings beyond a single changed knob."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.api import TrunkGeometry
from harness.contract import CHECKS, SMALL, WIDER, Case
from harness.registry import load_variant

DEEP = replace(SMALL, depth=3, height=3, width=4, num_frames=4)
CASES = {
    "shrinking grid": ("pooled", DEEP, {"q_stride": [1, 2, 2], "q_stride_layers": [0, 2], "kv_stride": [2, 1, 1]}),
    "shrinking clip": ("pooled", DEEP, {"q_stride": [2, 1, 1], "q_stride_layers": [1], "kv_stride": [1, 2, 2]}),
    "queries of stride 4": ("pooled", DEEP, {"q_stride": [4, 1, 2], "q_stride_layers": [2], "kv_stride": [3, 2, 1]}),
    "keys that leave tokens out": ("pooled", DEEP, {"kv_stride": [4, 1, 3]}),
    "no class token, shrinking": (
        "pooled",
        DEEP,
        {"class_token": "none", "q_stride": [1, 2, 2], "q_stride_layers": [1]},
    ),
    "tables of another length": (
        "pooled",
        DEEP,
        {"relative_position_rows": [2, 9, 5], "q_stride": [2, 2, 1], "q_stride_layers": [1]},
    ),
    "averages only": ("factorised_encoder", SMALL, {"frame_feature": "mean", "clip_feature": "mean"}),
    "averages without time layers": ("factorised_encoder", SMALL, {"clip_feature": "mean", "temporal_layers": 0}),
    "more than one window, padded": ("window3d", WIDER, {"window": [3, 2, 1]}),
    "window larger than the clip": ("window3d", SMALL, {"window": [9, 1, 2]}),
    "windows of one frame": ("window3d", WIDER, {"window": [1, 2, 2]}),
    "no bias in the projection": ("window3d", replace(WIDER, qkv_bias="none"), {"window": [4, 2, 2]}),
}


def case_named(label: str) -> Case:
    """Return one of `CASES`."""
    name, trunk, config = CASES[label]
    return Case(label, load_variant(name), config, trunk)


@pytest.mark.parametrize("check", [name for name in CHECKS if name not in ("description", "compile", "export")])
@pytest.mark.parametrize("label", CASES)
def test_contract_holds(label: str, check: str) -> None:
    case = case_named(label)
    if check == "macs":  # counted through a whole model, whose frames are square
        case = replace(case, trunk=replace(case.trunk, height=3, width=3))
    assert not list(case.variant().validate())
    CHECKS[check](case)


@pytest.mark.parametrize(
    ("trunk", "config", "field", "message"),
    [
        (SMALL, {"q_stride": [3, 1, 1], "q_stride_layers": [0]}, "q_stride", "each must be 1 or even"),
        (SMALL, {"q_stride_layers": [2]}, "q_stride_layers", "layers are numbered 0 to 1"),
        (SMALL, {"kv_stride": [1, 4, 1]}, "kv_stride", "the grid of layer 0, [5, 2, 3], is the largest"),
        (SMALL, {"relative_position": False, "relative_position_rows": [3, 5, 4]}, "relative_position_rows", "no such"),
        (DEEP, {"q_stride": [1, 2, 4], "q_stride_layers": [0]}, "kv_stride", "layer 1"),
    ],
)
def test_strides_that_cannot_be_are_refused(
    trunk: TrunkGeometry, config: dict[str, Any], field: str, message: str
) -> None:
    variant_class: Any = load_variant("pooled")
    faults = dict(variant_class(variant_class.Config(**config), trunk).validate())
    assert list(faults) == [field]
    assert message in faults[field]
