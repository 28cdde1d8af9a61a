"""The contract at settings of numeric knobs, which `contract.cases` leaves at their defaults; refused settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness import contract
from harness.nn.config import GlobalTokensConfig
from harness.registry import load_variant

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("factorised_encoder", {"temporal_layers": 0}),
    ("factorised_encoder", {"temporal_layers": 0, "frame_feature": "mean"}),
    ("factorised_encoder", {"temporal_layers": 1, "temporal_heads": 8, "temporal_mlp_ratio": 1.5}),
    ("local_window", {"temporal_window": 0}),
    ("local_window", {"temporal_window": 2}),
    ("local_window", {"temporal_window": 9}),
    ("local_window", {"temporal_window": 1, "dilation": 2}),
    ("local_window", {"temporal_window": 2, "dilation": 2}),
    ("token_shift", {"shifted_fraction": 0.99}),
    ("token_shift", {"shifted_fraction": 0.25, "which": "all"}),
    ("local_global", {"local_fraction": 2.0, "global_stride": 1}),
    ("local_global", {"local_fraction": 0.7, "global_stride": 3}),
    ("mixing", {"temporal_window": 2}),
    ("mixing", {"temporal_window": 3}),
    ("mixing", {"temporal_window": 2, "outer_only": True}),
    ("mixing", {"temporal_window": 2, "channel_layout": "concat"}),
    ("mixing", {"temporal_window": 2, "mixed": "x", "ends": "circular"}),
    ("mixing", {"mixed_fraction": 1.0}),
    ("mixing", {"mixed_fraction": 1.0, "layers": [1]}),
    ("mixing", {"mixed_fraction": 0.25}),
    ("mixing", {"layers": [1]}),
]
#: the ones that are cheap and see every token; `contract.CHECKS` runs in full at the defaults
CHECKS = ("reference", "gradients", "influence", "macs", "degenerate cases")
EVEN = replace(contract.SMALL, height=4, width=4, num_frames=6)
#: frames and channels of a head enough for windows of three frames to each side
GEOMETRY = {"mixing": replace(contract.SMALL, num_frames=7, num_heads=2)}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("name", "config"), SETTINGS, ids=repr)
def test_variant_keeps_the_contract_at(name: str, config: dict[str, Any], check: str) -> None:
    case = contract.Case(str(config), load_variant(name), config, GEOMETRY.get(name, contract.SMALL))
    assert not list(case.variant().validate())
    contract.CHECKS[check](case)


@pytest.mark.parametrize("check", ["reference", "influence", "gradients"])
@pytest.mark.parametrize("name", ["axial", "local_global", "local_window", "factorised_dot_product"])
def test_variant_keeps_the_contract_on_a_square_grid(name: str, check: str) -> None:
    contract.CHECKS[check](contract.Case("square", load_variant(name), trunk=EVEN))


@pytest.mark.parametrize("tokens", [{"summary": 2, "summary_mixed": True}, {"summary": 1, "registers": 2}])
@pytest.mark.parametrize("check", ["reference", "influence", "macs"])
def test_a_wide_window_carries_global_tokens(check: str, tokens: dict[str, Any]) -> None:
    trunk = replace(contract.SMALL, global_tokens=GlobalTokensConfig(**tokens))
    contract.CHECKS[check](contract.Case("", load_variant("local_window"), {"temporal_window": 2}, trunk))


def test_the_cost_of_a_window_is_that_of_the_frames_that_exist() -> None:
    variant = contract.Case("", load_variant("local_window"), {"temporal_window": 1}).variant()
    space = contract.Case("", load_variant("spatial_only")).variant()
    # five frames see 2 + 3 + 3 + 3 + 2 frames instead of one each; a frame has 7 tokens of 32 channels
    assert variant.macs() - space.macs() == variant.trunk.depth * 2 * (13 - 5) * 7 * 7 * 32


@pytest.mark.parametrize(
    ("name", "config", "changed", "field", "message"),
    [
        ("factorised_dot_product", {}, {"num_heads": 1}, "model.num_heads", "1 heads have no two halves; even numbers"),
        ("factorised_encoder", {"temporal_heads": 5}, {}, "temporal_heads", "5 heads do not divide embed_dim 32"),
        ("local_window", {"dilation": 5}, {}, "dilation", "none of 5 frames has a neighbour that far; 1 to 4"),
        ("local_window", {"dilation": 2, "temporal_window": 0}, {}, "dilation", "temporal_window is 0"),
        ("token_shift", {"shifted_fraction": 0.01}, {}, "shifted_fraction", "0, or at least 0.0625"),
        ("axial", {}, {"global_tokens": GlobalTokensConfig(summary=1)}, "global_tokens.summary", "set it to 0"),
    ],
)
def test_what_cannot_be_built_is_refused(
    name: str, config: dict[str, Any], changed: dict[str, Any], field: str, message: str
) -> None:
    case = contract.Case("", load_variant(name), config, replace(contract.SMALL, **changed))
    (problem,) = case.variant().validate()
    assert problem[0] == field
    assert message in problem[1]
