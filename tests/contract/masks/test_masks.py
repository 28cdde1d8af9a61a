"""A mask that is wrong turns `check` red, though block, influence and oracle share it; the counters never read it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.api import MaskedVariant
from harness.cli.new import SCAFFOLD
from harness.contract import SMALL, Case, cases, perturbed_encoder, random_tokens
from harness.contract.checks import measured_influence
from harness.measure.count.macs import flop_counter_macs
from harness.measure.count.masked import masked_macs
from harness.nn import blocks
from harness.registry import OUR_VARIANTS, load_variant, variant_names
from tests.contract.planting import is_red, plant_in_shared_code

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/variants.md").read_text("utf-8"), re.M | re.S)[0]
#: name -> the text of a masked variant
TEXTS = {
    "scaffold": SCAFFOLD.substitute(name="scaffold", class_name="Scaffold"),
    "causal": EXAMPLE,
    **{
        name: (OUR_VARIANTS / f"{name}.py").read_text("utf-8")
        for name in variant_names()
        if issubclass(load_variant(name), MaskedVariant)
    },
}
#: (name, piece of `allowed`, an off-by-one instead, configuration)
OFF_BY_ONE: list[tuple[str, str, str, dict[str, Any]]] = [
    ("scaffold", "<= self.config.reach)", "< self.config.reach)", {}),
    ("scaffold", "<= self.config.reach)", "<= self.config.reach + 1)", {}),
    ("scaffold", "layout.with_global(near, ~layout.is_patch)", "near", {}),
    ("causal", "(back <= reach)", "(back < reach)", {"reach": 1}),
    ("causal", "(back <= reach)", "(back <= reach + 1)", {"reach": 1}),
    ("causal", "(back >= 0)", "(back >= -1)", {}),
    ("causal", "(back >= 0)", "(back > 0)", {}),
    ("local_window", "(steps <= self.config.temporal_window * dilation)", "(steps < self.config.temporal_window * dilation)", {}),
    ("local_window", "self.config.temporal_window * dilation", "(self.config.temporal_window + 1) * dilation", {}),
    ("local_global", "layout.nearby(*self._reach(layout))", "layout.nearby(*(n + 1 for n in self._reach(layout)))", {}),
    ("local_global", "layout.nearby(*self._reach(layout))", "layout.nearby(*(n - 1 for n in self._reach(layout)))", {}),
    ("spatial_only", "layout.same_frame()", "layout.by_frame(layout.frame_steps().abs() <= 1)", {}),
    ("factorised_encoder", "layout.same_frame())\n\n", "layout.by_frame(layout.frame_steps().abs() <= 1))\n\n", {}),
    ("joint", "layout.all_pairs()", "layout.all_pairs() & layout.is_patch", {}),
]  # fmt: skip
#: the ones that compute the visible pairs alone, by code of their own: there influence and oracle see a wrong mask too
FUSED = ("spatial_only", "joint", "local_window", "factorised_encoder")


def case_of(text: str, folder: Path, config: dict[str, Any] | None = None) -> Case:
    """A case of the variant that a text defines, under a name of its own."""
    name = f"masked_{abs(hash((text, str(folder))))}"
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return Case("default", load_variant(name, [folder]), config or {})


def test_every_masked_variant_is_planted() -> None:
    assert {name for name, *_ in OFF_BY_ONE} == set(TEXTS)


@pytest.mark.parametrize(
    ("name", "old", "new", "config"), OFF_BY_ONE, ids=[f"{n}: {new}" for n, _, new, _ in OFF_BY_ONE]
)
def test_a_mask_off_by_one_is_red(name: str, old: str, new: str, config: dict[str, Any], tmp_path: Path) -> None:
    assert old in TEXTS[name], f"{name} has changed; the planted mask needs a new place"
    sound = case_of(TEXTS[name], tmp_path, config)
    assert not any(is_red(check, sound) for check in ("mask", "influence", "reference"))
    wrong = case_of(TEXTS[name].replace(old, new), tmp_path, config)
    assert is_red("mask", wrong)
    if name in FUSED:
        assert is_red("influence", wrong)
        assert is_red("reference", wrong)


def test_a_mask_without_a_fact_is_red(tmp_path: Path) -> None:
    text = re.sub(r"    def visible_keys.*", "", TEXTS["scaffold"], flags=re.DOTALL)
    assert is_red("mask", case_of(text, tmp_path))


def test_a_degenerate_case_is_a_fact(tmp_path: Path) -> None:
    text = re.sub(r"    def visible_keys.*?(?=    def degenerate)", "", TEXTS["causal"], flags=re.DOTALL)
    assert "visible_keys" not in text
    sound = case_of(text, tmp_path)
    assert not any(is_red(check, sound) for check in ("mask", "degenerate cases"))
    for new in ("(back < reach)", "(back <= reach + 1)"):
        assert is_red("degenerate cases", case_of(text.replace("(back <= reach)", new), tmp_path)), new


def test_a_block_that_ignores_its_mask_is_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Influence, oracle and the MACs that masks drop are of the computed block, whatever `allowed` says."""
    case, seen_by = case_of(TEXTS["causal"], tmp_path), ("influence", "reference", "macs")
    assert not any(is_red(check, case) for check in seen_by)
    text = Path(blocks.__file__).read_text("utf-8")
    planted = text.replace("self.attn(self.norm1(x), mask)", "self.attn(self.norm1(x))")
    assert planted != text
    plant_in_shared_code("harness/nn/blocks.py", planted, monkeypatch)
    assert all(is_red(check, case) for check in seen_by)


@pytest.mark.parametrize("name", TEXTS)
def test_counters_and_nudges_never_read_the_mask(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variant = case_of(TEXTS[name], tmp_path).variant()
    assert isinstance(variant, MaskedVariant)
    encoder, tokens, declared = perturbed_encoder(variant), random_tokens(variant), variant.influence(variant.layout())
    macs, masked = variant.macs(), variant.masked_macs()

    def unread(*_: object) -> torch.Tensor:
        raise AssertionError("the mask was read")

    for method in ("allowed", "visible_keys"):
        monkeypatch.setattr(type(variant), method, unread)
    assert torch.equal(measured_influence(variant, encoder), declared)
    assert masked_macs(encoder, tokens.map(lambda part: part[:1])) == masked
    assert flop_counter_macs(encoder, tokens.map(lambda part: part[:1])) == macs  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TEXTS)
def test_macs_are_counted_on_the_meta_device_too(name: str, tmp_path: Path) -> None:
    variant = case_of(TEXTS[name], tmp_path).variant()
    with torch.device("meta"):
        variant.build_encoder()
        counts = variant.macs(), variant.masked_macs()
    assert counts == (variant.macs(), variant.masked_macs())


def test_equal_masks_are_held_once(tmp_path: Path) -> None:
    trunk = replace(SMALL, depth=3)
    encoder = replace(case_of(TEXTS["causal"], tmp_path), trunk=trunk).variant().build_encoder()
    assert [name for name, _ in encoder.named_buffers()] == ["mask_0"]
    text = TEXTS["scaffold"].replace("<= self.config.reach)", "<= self.config.reach + layer % 2)")
    encoder = replace(case_of(text, tmp_path), trunk=trunk).variant().build_encoder()
    assert [name for name, _ in encoder.named_buffers()] == ["mask_0", "mask_1"]
    assert encoder.mask_of == [0, 1, 0]
    assert not encoder.state_dict().keys() & {"mask_0", "mask_1"}


def test_what_the_fused_variants_compute_has_no_masked_work() -> None:
    for name in FUSED:
        for case in cases(name):
            assert case.variant().masked_macs() == 0
            assert masked_macs(perturbed_encoder(case.variant()), random_tokens(case.variant())) == 0


def test_a_derived_block_never_carries_summaries() -> None:
    class Own(MaskedVariant):
        cannot_carry = {"registers": "a reason"}

    assert set(Own.cannot_carry) == {"summary", "registers"}
    assert set(load_variant("local_window").cannot_carry) == set(), "it has a block of its own"
