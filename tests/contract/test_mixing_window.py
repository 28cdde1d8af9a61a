"""The window of space-time mixing, written out in frames and channels, without the variant's own influence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from harness import contract
from harness.registry import load_variant

TRUNK = replace(contract.SMALL, depth=3, num_heads=2, num_frames=9, height=1, width=2)


def frames_seen(config: dict[str, Any]) -> list[set[int]]:
    """Return, for each frame, the frames whose tokens change its class token."""
    variant = contract.Case("", load_variant("mixing"), config, TRUNK).variant()
    assert not list(variant.validate())
    encoder, tokens = contract.perturbed_encoder(variant), contract.random_tokens(variant, batch=1)
    before, seen = encoder(tokens).cls, [set[int]() for _ in range(TRUNK.num_frames)]
    for frame in range(TRUNK.num_frames):
        patches, cls = tokens.patches.clone(), tokens.cls.clone()
        patches[:, frame] += torch.randn_like(patches[:, frame])
        cls[:, frame] += torch.randn_like(cls[:, frame])
        moved = (encoder(tokens._replace(patches=patches, cls=cls)).cls - before).abs().amax(-1)[0] > 1e-12
        for reader in moved.nonzero().flatten().tolist():
            seen[reader].add(frame)
    return seen


@pytest.mark.parametrize("layout", ["per_head", "concat"])
@pytest.mark.parametrize("outer_only", [False, True], ids=["all frames", "outer frames"])
@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("num_mixing", [0, 1, 2, 3])
def test_k_mixing_layers_see_k_windows(num_mixing: int, window: int, outer_only: bool, layout: str) -> None:
    layers = list(range(TRUNK.depth - num_mixing, TRUNK.depth))
    config = {"temporal_window": window, "outer_only": outer_only, "channel_layout": layout, "layers": layers}
    step = window if outer_only else 1
    for frame, seen in enumerate(frames_seen(config)):
        reach = range(frame - num_mixing * window, frame + num_mixing * window + 1, step)
        assert seen == {other for other in reach if 0 <= other < TRUNK.num_frames}, f"frame {frame}"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"temporal_window": 1}, [1] * 4 + [-1] * 4 + [0] * 8),
        ({"temporal_window": 2}, [1, 1, -1, -1, 2, 2, -2, -2] + [0] * 8),
        ({"temporal_window": 3}, [1, -1, 2, -2, 3, -3] + [0] * 10),
        ({"temporal_window": 2, "outer_only": True}, [2] * 4 + [-2] * 4 + [0] * 8),
        ({"temporal_window": 3, "mixed_fraction": 1.0}, [1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3] + [0] * 4),
        ({"mixed_fraction": 0.25}, [1, 1, -1, -1] + [0] * 12),
        ({"channel_layout": "concat"}, [1] * 8 + [-1] * 8 + [0] * 16),
        ({"temporal_window": 0}, [0] * 16),
        ({"mixed_fraction": 0.0}, [0] * 16),
        ({"layers": [1]}, [0] * 16),
    ],
    ids=repr,
)
def test_channels_go_to_the_offsets_in_turn(config: dict[str, Any], expected: list[int]) -> None:
    """fold = floor(rho C / (2 t_w)) channels each, in the order +1, -1, +2, -2, ... from channel 0 on."""
    variant: Any = contract.Case("", load_variant("mixing"), config, TRUNK).variant()
    assert variant.reference_offsets(0) == expected
    for offset, first, end in variant.folds(0):
        assert expected[first:end] == [offset] * (end - first)
    assert sum(end - first for _, first, end in variant.folds(0)) == sum(offset != 0 for offset in expected)
