"""Multiply-accumulates of `torch.einsum` in closed form, from its equation and the shapes of its operands.

torch contracts two operands at a time by one batched matrix product. An index of one operand alone is summed before it;
a pair that shares no summed index is multiplied elementwise, which is no matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

Label = str | int  # a letter, or an axis of the ellipsis counted from the last one


class EinsumCost(NamedTuple):
    """`has_batch`: some product has an index that both operands and the result share."""

    macs: int
    has_batch: bool


def einsum_cost(equation: str, shapes: Sequence[Sequence[int]], path: Sequence[int] | None = None) -> EinsumCost:
    """Return the cost of an einsum; `path`: positions of each contracted pair, as in torch; default: left to right."""
    terms, out = _parse(equation.replace(" ", ""), shapes)
    sizes: dict[Label, int] = {}
    for labels, shape in zip(terms, shapes, strict=True):
        for label, size in zip(labels, shape, strict=True):
            sizes[label] = max(sizes.get(label, 1), size)
    # an axis of length 1 is broadcast, so it takes part in no sum
    operands = [
        {label for label, size in zip(labels, shape, strict=True) if size != 1}
        for labels, shape in zip(terms, shapes, strict=True)
    ]
    macs, has_batch, pairs = 0, False, list(path or ())
    while len(operands) > 1:
        i, j = sorted((pairs.pop(0), pairs.pop(0))) if path else (0, 1)
        b, a = operands.pop(j), operands.pop(i)
        kept = out.union(*operands)
        summed = (a & b) - kept
        if summed:
            macs += prod(sizes[label] for label in summed | ((a | b) & kept))
            has_batch |= bool(a & b & kept)
        operands.insert(len(operands) if path else 0, (a | b) & kept)
    return EinsumCost(macs, has_batch)


def _parse(equation: str, shapes: Sequence[Sequence[int]]) -> tuple[list[list[Label]], set[Label]]:
    """Return the labels of each operand, one per axis, and those of the result."""
    left, arrow, right = equation.partition("->")
    terms = [_labels(term, len(shape)) for term, shape in zip(left.split(","), shapes, strict=True)]
    of_ellipsis: set[Label] = {label for term in terms for label in term if isinstance(label, int)}
    letters: set[Label] = set(right.replace("...", ""))
    if not arrow:  # implicit: the letters that occur once
        letters = {letter for letter in left if letter.isalpha() and left.count(letter) == 1}
    return terms, letters | (of_ellipsis if not arrow or "..." in right else set())


def _labels(term: str, num_axes: int) -> list[Label]:
    before, ellipsis, after = term.partition("...")
    hidden = range(num_axes - len(before) - len(after), 0, -1) if ellipsis else ()
    return [*before, *hidden, *after]
