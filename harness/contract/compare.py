"""Comparison of tokens, and the exception of a failed check."""

from __future__ import annotations

from torch import Tensor

from harness.api import Tokens

TOLERANCE = 1e-9


class Broken(Exception):
    """A variant breaks its contract."""


def parts(tokens: Tokens) -> list[Tensor]:
    """Return the tensors that are present: patches, class tokens, registers."""
    return [part for part in tokens if part is not None]


def difference_of(a: Tokens, b: Tokens) -> float:
    """Return the largest difference of two sets of tokens; infinite if their shapes differ."""
    if [part.shape for part in parts(a)] != [part.shape for part in parts(b)]:
        return float("inf")
    return max(float((x - y).detach().abs().max()) for x, y in zip(parts(a), parts(b), strict=True))


def require(condition: bool, message: str) -> None:
    """Raise `Broken` with the message if the condition does not hold."""
    if not condition:
        raise Broken(message)
