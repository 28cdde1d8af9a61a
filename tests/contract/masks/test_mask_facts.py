"""The facts of a mask do not come from it, and no shifted, wider, narrower or permuted mask agrees with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.api import Layout, MaskedVariant, TokenPlace, Variant
from harness.contract import EVEN, SMALL, Broken, Case
from harness.contract.checks import check_influence
from harness.contract.masks import check_mask
from harness.nn.config import GlobalTokensConfig
from harness.registry import load_variant
from tests.contract.masks.test_masks import TEXTS, case_of
from tests.contract.planting import is_red

REGISTERS = replace(SMALL, global_tokens=GlobalTokensConfig(registers=2))
#: checks that compare the mask with something else
SEEN_BY = ("mask", "degenerate cases", "influence", "reference")


class Circle(MaskedVariant):
    """A window over a clip whose ends meet: every token sees as many keys, whichever way the window is shifted."""

    class_token = "frame"

    def allowed(self, layout: Layout, layer: int) -> Tensor:
        steps = layout.frame_steps() % layout.num_frames
        return layout.with_registers(layout.by_frame((steps <= 1) | (steps == layout.num_frames - 1)))

    def visible_keys(self, layout: Layout, layer: int) -> Tensor:
        seen = 3 * (1 + layout.height * layout.width) + layout.num_registers
        return torch.where(layout.is_register, layout.num_tokens, seen)


class Past(Circle):
    """A circle in which a frame sees the one before: not alike from both sides, so numbers are no fact of it."""

    def allowed(self, layout: Layout, layer: int) -> Tensor:
        return layout.with_registers(layout.by_frame(-layout.frame_steps() % layout.num_frames <= 1))

    def visible_keys(self, layout: Layout, layer: int) -> Tensor:
        return torch.where(layout.is_register, layout.num_tokens, 2 * (1 + 6) + layout.num_registers)


class StatedPast(Past):
    def sees(self, query: TokenPlace, key: TokenPlace) -> bool:
        return "register" in (query.kind, key.kind) or (query.frame - key.frame) % 5 <= 1


def exchanged(mask: Tensor, a: int, b: int) -> Tensor:
    """The mask after two tokens changed places, as queries and as keys."""
    order, b = torch.arange(len(mask)), min(b, len(mask) - 1)
    order[a], order[b] = b, a
    return mask[order][:, order]


def from_frames(mask: Tensor, layout: Layout, order: list[int], *kinds: str) -> Tensor:
    """The mask with the keys of these kinds taken from other frames."""
    tokens = layout.tokens()
    moved = [t._replace(frame=order[t.frame]) if t.frame >= 0 and t.kind in kinds else t for t in tokens]
    return mask[:, [tokens.index(token) for token in moved]]


def frames(layout: Layout) -> list[int]:
    return list(range(layout.num_frames))


def of_class(layout: Layout) -> Tensor:
    return torch.arange(layout.num_tokens) < layout.num_class


def next_to(layout: Layout) -> Tensor:
    return layout.by_frame(layout.frame_steps().abs() <= 1)


#: what a slip of the pen makes of a sound mask
PLANTED: dict[str, Callable[[Tensor, Layout], Tensor]] = {
    "keys shifted by a token": lambda m, at: m.roll(1, 1),
    "queries shifted by a token": lambda m, at: m.roll(1, 0),
    "both shifted by a token": lambda m, at: m.roll((1, 1), (0, 1)),
    "keys of the next frame": lambda m, at: from_frames(m, at, [*frames(at)[1:], 0], "class token", "patch"),
    "keys of the previous frame": lambda m, at: from_frames(
        m, at, frames(at)[-1:] + frames(at)[:-1], "class token", "patch"
    ),
    "class tokens of the next frame": lambda m, at: from_frames(m, at, [*frames(at)[1:], 0], "class token"),
    "class tokens in reverse": lambda m, at: from_frames(m, at, frames(at)[::-1], "class token"),
    "patches in reverse": lambda m, at: from_frames(m, at, frames(at)[::-1], "patch"),
    "keys in reverse": lambda m, at: m.flip(1),
    "transposed and shifted": lambda m, at: m.roll(1, 1).T,
    "transposed": lambda m, at: m.T,
    "wider": lambda m, at: (m.float() @ next_to(at).float()) > 0,
    "narrower": lambda m, at: m & ~(next_to(at) & ~at.same_frame()),
    "not itself": lambda m, at: m & ~at.itself(),
    "only itself": lambda m, at: at.itself(),
    "all pairs": lambda m, at: at.all_pairs(),
    "without class tokens as keys": lambda m, at: m & ~of_class(at)[None],
    "without class tokens as queries": lambda m, at: m & ~of_class(at)[:, None],
    "without registers as keys": lambda m, at: m & ~at.is_register[None],
    "without the last token as key": lambda m, at: m & (torch.arange(len(m)) < len(m) - 1),
    "first patch and last token exchanged": lambda m, at: exchanged(m, at.num_class, len(m) - 1),
    "patches of two frames exchanged": lambda m, at: exchanged(m, at.num_class, at.num_class + at.height * at.width),
    "one pair less": lambda m, at: m & (torch.arange(m.numel()).view_as(m) != int(m.flatten().nonzero()[-1])),
}


def sound_cases(folder: Path) -> dict[str, Case]:
    """All masked variants: the shipped ones, scaffold and example, and circles; with registers where they carry them."""
    found = {name: case_of(text, folder) for name, text in TEXTS.items()}
    found |= {"circle": Case("default", Circle), "stated past": Case("default", StatedPast)}
    carried = {name: replace(case, trunk=REGISTERS) for name, case in found.items()}
    return found | {f"{name}, registers": c for name, c in carried.items() if not list(c.variant().validate())}


@pytest.mark.parametrize("name", [*TEXTS, "circle", "stated past"])
def test_every_wrong_mask_is_red(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {label: case for label, case in sound_cases(tmp_path).items() if label.split(",")[0] == name}
    for label, case in cases.items():
        assert not any(is_red(check, case) for check in SEEN_BY), label
        sound, layout = case.variant_class.allowed, case.variant().layout()  # type: ignore[attr-defined]
        mask = sound(case.variant(), layout, 0)
        wrong = [what for what, change in PLANTED.items() if not torch.equal(change(mask, layout), mask)]
        assert len(wrong) >= 8, label
        for what in wrong:
            plant(monkeypatch, case.variant_class, what)
            assert any(is_red(check, case) for check in SEEN_BY), f"{label}: {what}"
            monkeypatch.undo()


def plant(monkeypatch: pytest.MonkeyPatch, owner: type[Variant], what: str) -> None:
    """Change the mask of a class, on every geometry."""
    sound: Callable[..., Tensor] = owner.allowed  # type: ignore[attr-defined]

    def allowed(self: MaskedVariant, layout: Layout, layer: int) -> Tensor:
        return PLANTED[what](sound(self, layout, layer), layout)

    monkeypatch.setattr(owner, "allowed", allowed)


def derived(self: MaskedVariant, layout: Layout, layer: int) -> Tensor:
    return self.allowed(layout, layer).sum(-1)


def derived_from_a_copy(self: MaskedVariant, layout: Layout, layer: int) -> Tensor:
    steps = layout.frame_steps() % layout.num_frames
    return layout.with_registers(layout.by_frame((steps <= 1) | (steps == layout.num_frames - 1))).sum(-1)


KEPT: dict[int, Tensor] = {}


def derived_from_a_kept_mask(self: MaskedVariant, layout: Layout, layer: int) -> Tensor:
    return KEPT[layout.num_tokens].sum(-1)


@pytest.mark.parametrize("fact", [derived, derived_from_a_copy, derived_from_a_kept_mask])
def test_a_fact_that_comes_from_a_mask_is_red(fact: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("default", Circle)
    KEPT[case.variant().layout().num_tokens] = case.variant().allowed(case.variant().layout(), 0)  # type: ignore[attr-defined]
    assert check_mask(case) is None
    monkeypatch.setattr(Circle, "visible_keys", fact)
    with pytest.raises(Broken, match=r"`visible_keys` reads `allowed` or computes another mask"):
        check_mask(case)


def test_sees_may_not_read_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    def sees(self: MaskedVariant, query: TokenPlace, key: TokenPlace) -> bool:
        tokens = self.layout().tokens()
        return bool(self.allowed(self.layout(), 0)[tokens.index(query), tokens.index(key)])

    monkeypatch.setattr(StatedPast, "sees", sees)
    with pytest.raises(Broken, match=r"`sees` reads `allowed`"):
        check_mask(Case("default", StatedPast))


def test_numbers_alone_are_no_fact_of_a_mask_with_a_direction() -> None:
    assert check_mask(Case("default", StatedPast)) is None
    said = "class token of frame 0 does not see class token of frame 1, which does not hold the other way round"
    with pytest.raises(Broken, match=f"{said}; .*add `sees`, .* or a degenerate case"):
        check_mask(Case("default", Past))


def test_a_degenerate_case_without_an_edge_is_no_fact(tmp_path: Path) -> None:
    blunt = TEXTS["causal"].replace('"reach 0", equals="spatial_only", config={"reach": 0}', (
        '"one frame", equals="spatial_only", model={"num_frames": 1}'
    ))  # fmt: skip
    assert blunt != TEXTS["causal"]
    assert not is_red("mask", case_of(TEXTS["causal"], tmp_path))
    assert is_red("mask", case_of(blunt, tmp_path))


def test_tokens_are_named() -> None:
    layout = Layout(2, 1, 2, "frame", 2)
    assert [str(token) for token in layout.tokens()] == [
        "class token of frame 0", "class token of frame 1", "patch (row 0, column 0) of frame 0",
        "patch (row 0, column 1) of frame 0", "patch (row 0, column 0) of frame 1", "patch (row 0, column 1) of frame 1",
        "register 0", "register 1",
    ]  # fmt: skip
    assert str(Layout(2, 1, 2, "clip").tokens()[0]) == "class token of the clip"


def test_messages_name_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    variant = load_variant("spatial_only")
    plant(monkeypatch, variant, "all pairs")
    with pytest.raises(Broken, match=r"layer 0: class token of frame 0 sees 37 keys by `allowed`, 9 by `visible_keys`"):
        check_mask(Case("default", variant, trunk=REGISTERS))
    with pytest.raises(Broken, match=r"the output class token of frame 0 .* with the input class token of frame 1"):
        check_influence(Case("default", variant, trunk=EVEN))
