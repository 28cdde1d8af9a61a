"""Knobs together with global tokens; one draw of drop path for all tokens of a clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import contract
from harness.contract import SMALL, Case, perturbed_encoder, random_tokens
from harness.nn import blocks
from harness.nn.config import GlobalTokensConfig
from harness.registry import load_variant
from tests.contract.planting import is_red, plant_in_shared_code

#: what reads unmixed keys and values -> the line of `FrameAttention` that gives it them
UNMIXED = {
    "registers=2": ("        if self.mixes_input:\n", "        if False:\n"),
    "summary=1": ("if self.mixes_input and not self.summary_mixed:", "if False:"),
}


def test_every_knob_meets_every_global_token() -> None:
    labels = {case.label for case in contract.cases("mixing")}
    knobs = ("mixed=x", "mixed=query", "ends=circular", "channel_layout=concat", "outer_only=True", "layers=odd")
    tokens = ("summary=1", "summary=2,summary_mixed=True", "registers=2", "summary=1,registers=1")
    assert {f"{knob},{token}" for knob in knobs for token in tokens} <= labels
    assert "class_token=none,registers=2" in {case.label for case in contract.cases("joint")}
    assert not any(case.is_pair for case in contract.cases("divided"))  # it carries none


@pytest.mark.parametrize("tokens", UNMIXED)
def test_global_tokens_read_unmixed_keys(tokens: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `mixed: x` the projected keys and values are mixed; registers and summaries need others."""
    (case,) = (case for case in contract.cases("mixing") if case.label == f"mixed=x,{tokens}")
    assert not any(is_red(check, case) for check in ("reference", "influence", "macs"))
    text, (old, new) = Path(blocks.__file__).read_text("utf-8"), UNMIXED[tokens]
    assert text.count(old) == 1, "FrameAttention has changed; the planted bug needs a new place"
    plant_in_shared_code("harness/nn/blocks.py", text.replace(old, new), monkeypatch)
    assert is_red("reference", case)


def test_mixed_inputs_cost_what_global_tokens_project_again() -> None:
    """Frames of 7 tokens, 32 wide: registers need all keys and values unmixed, summaries those of the means."""
    for tokens, rows in (
        ({"registers": 2}, 5 * 7),
        ({"summary": 2}, 5 * 2),
        ({"summary": 2, "summary_mixed": True}, 0),
    ):
        trunk = replace(SMALL, global_tokens=GlobalTokensConfig(**tokens))
        plain, mixed = (Case("", load_variant("mixing"), {"mixed": what}, trunk).variant() for what in ("key", "x"))
        assert mixed.macs() - plain.macs() == trunk.depth * rows * 32 * 64


@pytest.mark.parametrize(
    ("name", "config", "tokens", "num_branches"),
    [
        ("divided", {"class_mode": "global"}, {}, 3),
        ("divided", {}, {}, 3),
        ("axial", {}, {}, 4),
        ("factorised_self_attention", {}, {}, 3),
        ("spatial_only", {}, {"registers": 2}, 2),
        ("token_shift", {}, {"registers": 2}, 2),
        ("local_window", {}, {"registers": 2}, 2),
        ("joint", {}, {"registers": 2}, 2),
    ],
)
def test_drop_path_draws_once_per_clip_and_branch(
    name: str, config: dict[str, Any], tokens: dict[str, Any], num_branches: int
) -> None:
    """Equal clips end in no more different outputs than there are subsets of the branches."""
    trunk = replace(SMALL, drop_path=0.5, global_tokens=GlobalTokensConfig(**tokens))
    variant = Case("", load_variant(name), config, trunk).variant()
    clip, encoder = random_tokens(variant, batch=1), perturbed_encoder(variant).train()
    torch.manual_seed(0)
    out = encoder(clip.map(lambda part: part.expand(256, *part.shape[1:])))
    rows = torch.cat([part.flatten(1) for part in out if part is not None], dim=1)
    assert len({tuple(row.tolist()) for row in rows.round(decimals=6)}) == 2**num_branches
