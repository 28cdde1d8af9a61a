"""The check that a mask agrees with facts that do not come from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.api import Layout, MaskedVariant
from harness.contract.cases import Case, refusals
from harness.contract.compare import Broken, require

NOT_MASKED = "not a masked variant"
T = TypeVar("T")


def check_mask(case: Case) -> str | None:
    """`allowed` is the mask that `visible_keys`, `sees` or a degenerate case describe without reading it.

    Block, influence and oracle share `allowed`, so a mistake in it escapes the other checks. Numbers of keys determine
    a mask only if it treats all places alike: any other one needs `sees`, or a degenerate case whose mask has an edge.
    The check of degenerate cases compares those.
    """
    variant = case.variant()
    if not isinstance(variant, MaskedVariant):
        return NOT_MASKED
    layout, has_edge = variant.layout(), _has_edge(case)
    for layer in range(variant.trunk.depth):
        allowed, n = variant.allowed(layout, layer), layout.num_tokens
        require(allowed.dtype == torch.bool, f"`allowed` is {allowed.dtype}, not bool")
        require(allowed.shape == (n, n), f"`allowed` is {tuple(allowed.shape)}, not (n, n) for the n = {n} tokens")
        is_counted, is_stated = (
            _check_keys(variant, layout, layer, allowed),
            _check_pairs(variant, layout, allowed, layer),
        )
        if is_stated or has_edge:
            continue
        require(
            is_counted,
            "no fact that does not come from `allowed`: add `visible_keys`, the number of keys that each token sees, "
            "in closed form, or `sees`, or a degenerate case, a setting in which the variant equals another one",
        )
        _check_alike(layout, allowed, layer)
    return None


def _check_keys(variant: MaskedVariant, layout: Layout, layer: int, allowed: Tensor) -> bool:
    """Compare the mask with `visible_keys`; returns whether the variant states them."""
    keys = _independent("visible_keys", layout, lambda: variant.visible_keys(layout, layer))
    if keys is None:
        return False
    seen, stated = allowed.sum(-1), keys.expand(layout.num_tokens)
    if wrong := (seen != stated).nonzero().flatten().tolist():
        token = wrong[0]
        raise Broken(
            f"layer {layer}: {layout.tokens()[token]} sees {int(seen[token])} keys by `allowed`, {int(stated[token])} "
            f"by `visible_keys` ({len(wrong)} such tokens)"
        )
    return True


def _check_pairs(variant: MaskedVariant, layout: Layout, allowed: Tensor, layer: int) -> bool:
    """Compare the mask with `sees`; returns whether the variant states it."""
    tokens = layout.tokens()
    stated = _independent("sees", layout, lambda: [[variant.sees(query, key) for key in tokens] for query in tokens])
    if stated[0][0] is None:
        return False
    if wrong := (allowed != torch.tensor(stated, dtype=torch.bool)).nonzero().tolist():
        i, j = wrong[0]
        verb = "sees" if allowed[i, j] else "does not see"
        raise Broken(
            f"layer {layer}: {tokens[i]} {verb} {tokens[j]} by `allowed`, unlike by `sees` ({len(wrong)} such pairs)"
        )
    return True


class _NoMask(TorchDispatchMode):
    """Refuses work on as many numbers as a mask has: it reads `allowed`, or writes a mask down once more."""

    def __init__(self, fact: str, num_tokens: int):
        super().__init__()
        self.fact, self.num_pairs = fact, num_tokens**2

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves((args, out)):
            require(
                not isinstance(value, Tensor) or value.numel() < self.num_pairs,
                f"`{self.fact}` reads `allowed` or computes another mask (n, n), so that it proves nothing: state it "
                "in closed form, from the places of single tokens",
            )
        return out


def _independent(fact: str, layout: Layout, state: Callable[[], T]) -> T:
    """Return a stated fact. Raises: Broken if it comes from a mask."""
    with _NoMask(fact, layout.num_tokens):
        return state()


def _has_edge(case: Case) -> bool:
    """Return whether the mask of a degenerate case leaves pairs out, so that a mask off by one changes the output."""
    for declared in case.variant().degenerate_cases():
        config = dict(case.config) | dict(declared.config)
        changed = replace(case, config=config, trunk=replace(case.trunk, **declared.model))
        if declared.constant_clip or declared.at_init or refusals(changed):
            continue
        variant = changed.variant()
        assert isinstance(variant, MaskedVariant)
        if not all(bool(variant.allowed(variant.layout(), layer).all()) for layer in range(variant.trunk.depth)):
            return True
    return False


def _check_alike(layout: Layout, allowed: Tensor, layer: int) -> None:
    """Check that a mask treats all places alike: only then do numbers of keys say which keys they are."""
    tokens = layout.tokens()
    way_out = "; where that is the idea, add `sees`, which says it for two tokens, or a degenerate case with an edge"
    blind = (~allowed.diagonal()).nonzero().flatten().tolist()
    require(not blind, f"layer {layer}: {tokens[blind[0] if blind else 0]} does not see itself{way_out}")
    for what, other in _likenesses(layout, allowed):
        if wrong := (allowed != other).nonzero().tolist():
            i, j = wrong[0]
            verb = "sees" if allowed[i, j] else "does not see"
            raise Broken(f"layer {layer}: {tokens[i]} {verb} {tokens[j]}, which does not hold {what}{way_out}")


def _likenesses(layout: Layout, allowed: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield masks that equal one that treats all places alike: seen from the key, and from other places."""
    yield "the other way round", allowed.T
    for axis, size in (("frame", layout.num_frames), ("row", layout.height), ("column", layout.width)):
        for what, move in (
            (f"with the order of the {axis}s reversed", lambda place, size=size: size - 1 - place),
            (f"one {axis} further on", lambda place: place + 1),
        ):
            to = _moved(layout, axis, move)
            inside = (to >= 0)[:, None] & (to >= 0)[None]
            yield what, torch.where(inside, allowed[to][:, to], allowed)


def _moved(layout: Layout, axis: str, move: Callable[[int], int]) -> Tensor:
    """Return where each token (n,) goes by a move along an axis: -1 outside of the clip, itself if it has no place."""
    tokens = layout.tokens()
    number, moved = {token: i for i, token in enumerate(tokens)}, []
    for token in tokens:
        place: dict[str, Any] = {axis: move(getattr(token, axis))} if getattr(token, axis) >= 0 else {}
        moved.append(number.get(token._replace(**place), -1))
    return torch.tensor(moved)
