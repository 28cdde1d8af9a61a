"""Planted bugs turn the contract red: deliberate edits of the variants' own text, and of the code they share.

Each edit is a plausible mistake. The same checks are green without it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness import contract
from harness.contract import Case
from harness.nn import attention, blocks, steps
from harness.registry import load_variant
from tests.contract.planting import is_red, plant_in_shared_code

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Edit:
    """A piece of a file, its replacement, and the checks of the variant that have to see it.

    `file` is the variant's own by default, else one of harness/nn, where the variant's idea is shared code.
    """

    variant: str
    old: str
    new: str
    seen_by: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""


EDITS = {
    "shifted the wrong way": Edit(
        "mixing", "shift(x[..., first:end], offset, ends)", "shift(x[..., first:end], -offset, ends)",
        ("reference",), file="harness/nn/shift.py",
    ),
    "window twice as wide": Edit(
        "mixing", "shift(x[..., first:end], offset, ends)", "shift(x[..., first:end], 2 * offset, ends)",
        ("reference", "influence"), file="harness/nn/shift.py",
    ),
    "every offset one frame": Edit(
        "mixing", "[sign * distance for distance in reach for sign in (1, -1)]",
        "[sign for distance in reach for sign in (1, -1)]", ("reference", "influence"), {"temporal_window": 2},
    ),
    "frames between counted in the outer form": Edit(
        "mixing", "[window] if self.config.outer_only else range(1, window + 1)", "range(1, window + 1)",
        ("reference", "influence"), {"temporal_window": 2, "outer_only": True},
    ),
    "previous frame first": Edit("mixing", "for sign in (1, -1)]", "for sign in (-1, 1)]", ("reference",)),
    "far frames first": Edit(
        "mixing", "range(1, window + 1)", "range(window, 0, -1)", ("reference",), {"temporal_window": 2},
    ),
    "layers ignored": Edit(
        "mixing", "or layer not in layer_set(self.config.layers, self.trunk.depth):", "or layer < 0:",
        ("reference", "influence"), {"layers": [1]},
    ),
    "ends repeated instead of zero": Edit(
        "mixing", "filler if ends == \"replicate\" else torch.zeros_like(filler)", "filler", ("reference",),
        file="harness/nn/shift.py",
    ),
    "mixing detached from the gradient": Edit(
        "mixing", "self._mix_heads(z) if name in self.mixed", "self._mix_heads(z.detach()) if name in self.mixed",
        ("reference",),
    ),
    "channels of all heads instead of each": Edit(
        "mixing", "if self.per_head or not self.folds:", "if not self.folds:", ("reference",)
    ),
    "window of one frame more": Edit(
        "local_window", "self.trunk.num_frames - 1, self.config.temporal_window, self.config.dilation",
        "self.trunk.num_frames - 1, self.config.temporal_window + 1, self.config.dilation",
        ("reference", "influence", "mask"),
    ),
    "time and space swapped": Edit(
        "divided", "y = self.drop_path(self.temporal_attn(self.temporal_norm1(x.transpose(1, 2))))",
        "y = self.drop_path(self.temporal_attn(self.temporal_norm1(x))).transpose(1, 2)",
        ("reference", "macs"),
    ),
    "class token left out": Edit("divided", "return cls + y[:, :, 0].mean(1), x", "return cls, x", ("reference", "influence")),
    "class token summed instead of averaged": Edit(
        "divided", "cls + y[:, :, 0].mean(1)", "cls + y[:, :, 0].sum(1)", ("reference",)
    ),
    "dropout in eval": Edit(
        "divided", "y = self.drop_path(self.attn(", "y = nn.functional.dropout(self.attn(", ("determinism",)
    ),
    "layer after time attention unused": Edit(
        "divided", "x + self.temporal_fc(y).transpose(1, 2)", "x + y.transpose(1, 2)", ("reference", "gradients", "macs")
    ),
    "zero initialisation forgotten": Edit(
        "divided", "nn.init.zeros_(self.weight)", "pass", ("degenerate cases",), file="harness/nn/steps.py",
    ),
    "clips of a batch mixed up": Edit(
        "divided", "self.mlp(self.norm2(z))", "self.mlp(self.norm2(z - z.mean(0)))", ("batch", "reference")
    ),
    "class-token policy declared wrong": Edit(
        "trajectory", 'class_token = "clip"\n', 'class_token = "clip"\n    class_token_out = "none"\n', ("shapes",)
    ),
    "pairs miscounted": Edit(
        "joint", "(layout.num_tokens,), layout.num_tokens)", "(layout.num_tokens,), layout.num_tokens - 1)", ("macs", "mask"),
    ),
    "influence declared too wide": Edit(
        "spatial_only", "layout.with_registers(layout.same_frame())", "layout.all_pairs()", ("influence", "mask")
    ),
    "source not named": Edit("spatial_only", "Source: TimeSformer", "From TimeSformer", ("description",)),
    "halves of the heads swapped": Edit(
        "factorised_dot_product", "torch.cat([over_time, attend(*space)], dim=2)",
        "torch.cat([attend(*space), over_time], dim=2)", ("reference",),
    ),
    "norm of the other step": Edit(
        "factorised_self_attention", "self.attn(self.norm1(x))", "self.attn(self.temporal_norm1(x))", ("reference", "gradients")
    ),
    "query of the wrong frame": Edit(
        "trajectory", "query = self.proj_q(own.permute(0, 3, 1, 2)", "query = self.proj_q(own.flip(-1).permute(0, 3, 1, 2)",
        ("reference",),
    ),
    "windows not shifted back": Edit(
        "window3d", ".roll(self.shift, axes)\n", ".roll([-s for s in self.shift], axes)\n", ("reference", "influence"),
        {"window": [2, 2, 2]},
    ),
    "mask between rolled windows forgotten": Edit(
        "window3d", "bias.masked_fill(~together, float(\"-inf\")) if moved else bias", "bias", ("reference",),
        {"window": [2, 2, 2]},
    ),
    "next and previous frame exchanged": Edit(
        "token_shift", "[(1, 0, fold), (-1, fold, 2 * fold)]", "[(-1, 0, fold), (1, fold, 2 * fold)]", ("reference",),
    ),
}  # fmt: skip


@cache
def is_red_unedited(check: str, variant: str, config: str) -> bool:
    return is_red(check, Case("default", load_variant(variant), json.loads(config)))


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_turns_the_contract_red(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit = EDITS[name]
    file = edit.file or f"variants/{edit.variant}.py"
    text = (ROOT / file).read_text(encoding="utf-8")
    assert edit.old in text, f"{file} has changed; the planted bug {name!r} needs a new place"
    for check in edit.seen_by:
        assert not is_red_unedited(check, edit.variant, json.dumps(edit.config)), (
            f"{check} is red before anything is planted"
        )
    variant, text = edit.variant, text.replace(edit.old, edit.new)
    if edit.file:
        plant_in_shared_code(edit.file, text, monkeypatch)
    else:
        variant = f"planted_{list(EDITS).index(name)}"
        (tmp_path / f"{variant}.py").write_text(text, encoding="utf-8")
    case = Case("default", load_variant(variant, [tmp_path]), edit.config)
    for check in edit.seen_by:
        assert is_red(check, case), f"{check} does not see: {name}"


def lost_scale(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)


def wrong_half(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    return F.scaled_dot_product_attention(k, q, v, attn_mask=mask)


def hidden_in_a_loop(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention through an operator of unknown cost."""
    return torch.einsum("...nm,...mc->...nc", torch.cdist(q, k).neg().softmax(-1), v)


SHARED: dict[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {
    "lost scale": (lost_scale, ("reference",)),
    "queries and keys swapped": (wrong_half, ("reference",)),
    "operator of unknown cost": (hidden_in_a_loop, ("macs",)),
}


@pytest.mark.parametrize("name", SHARED)
def test_a_bug_in_the_attention_that_all_share_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    planted, seen_by = SHARED[name]
    case = Case("default", load_variant("joint"))
    assert not any(is_red(check, case) for check in seen_by)
    monkeypatch.setattr(attention, "attend", planted)
    for check in seen_by:
        assert is_red(check, case), f"{check} does not see: {name}"


def test_fused_and_plain_attention_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("default", load_variant("joint"))
    assert not is_red("plain attention", case)
    fused = F.scaled_dot_product_attention
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda q, k, v, attn_mask=None: fused(q, k, v, attn_mask, scale=1.0)
    )
    assert is_red("plain attention", case)


def test_drop_path_in_eval_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("default", load_variant("joint"))
    monkeypatch.setattr(
        steps.DropPath, "forward", lambda self, x: x if self.rate == 0 else F.dropout(x, self.rate, training=True)
    )
    assert is_red("determinism", case)


def test_registers_left_behind_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with_registers = next(case for case in contract.cases("joint") if case.label == "registers=2")
    assert not is_red("influence", with_registers)
    monkeypatch.setattr(blocks.Block, "mix", lambda self, x: F.pad(self.attn(x[:, :-2]), (0, 0, 0, 2)))
    assert is_red("influence", with_registers)
