"""How the checks compare: tokens part by part, and the exception that says what was seen."""

from __future__ import annotations

from torch import Tensor

from harness.api import Tokens

TOLERANCE = 1e-9


class Broken(Exception):
    """A variant breaks its contract."""


def parts(tokens: Tokens) -> list[Tensor]:
    """The tensors that are there: patches, class tokens, registers."""
    return [part for part in tokens if part is not None]


def difference_of(a: Tokens, b: Tokens) -> float:
    """Largest difference of two sets of tokens; infinite where their shapes differ."""
    if [part.shape for part in parts(a)] != [part.shape for part in parts(b)]:
        return float("inf")
    return max(float((x - y).detach().abs().max()) for x, y in zip(parts(a), parts(b), strict=True))


def require(condition: bool, message: str) -> None:
    """Raises: Broken with the message where the condition does not hold."""
    if not condition:
        raise Broken(message)
