"""The check that a mask agrees with a fact that does not come from it."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.api import Layout, MaskedVariant
from harness.contract.cases import Case
from harness.contract.compare import Broken, require

NOT_MASKED = "not a masked variant"


def check_mask(case: Case) -> str | None:
    """`allowed` is a mask under which every token sees as many keys as `visible_keys` says in closed form.

    Block, influence and oracle share `allowed`, so a mistake in it escapes the other checks. A variant may state a
    degenerate case instead of `visible_keys`; that one is compared by the check of this name.
    """
    variant = case.variant()
    if not isinstance(variant, MaskedVariant):
        return NOT_MASKED
    layout = variant.layout()
    stated = [_check_layer(variant, layout, layer) for layer in range(variant.trunk.depth)]
    require(
        all(stated) or next(iter(variant.degenerate_cases()), None) is not None,
        "no fact that does not come from `allowed`: add `visible_keys`, the number of keys that each token sees, in "
        "closed form, or a degenerate case, a setting in which the variant equals another one",
    )
    return None


def _check_layer(variant: MaskedVariant, layout: Layout, layer: int) -> bool:
    """Check the mask of a layer; returns whether there was a closed form to compare it with."""
    allowed, n = variant.allowed(layout, layer), layout.num_tokens
    require(allowed.dtype == torch.bool, f"`allowed` is {allowed.dtype}, not bool")
    require(allowed.shape == (n, n), f"`allowed` is {tuple(allowed.shape)}, not (n, n) for the n = {n} tokens of a row")
    keys = variant.visible_keys(layout, layer)
    if keys is not None:
        _compare(allowed.sum(-1), keys.expand(n), layer)
    return keys is not None


def _compare(seen: Tensor, stated: Tensor, layer: int) -> None:
    wrong = (seen != stated).nonzero().flatten().tolist()
    if wrong:
        token = wrong[0]
        raise Broken(
            f"layer {layer}: token {token} sees {int(seen[token])} keys by `allowed`, {int(stated[token])} by "
            f"`visible_keys` ({len(wrong)} such tokens)"
        )
