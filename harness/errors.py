"""Errors meant for people: where, what was given, what is allowed, the way out.

A `UserError` ends a command with its message and exit code 2; any other exception is a bug of ours and
keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

EXIT_USER_ERROR = 2


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with an input: `where` is `file:line:column`, `path` the dotted field."""

    where: str
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.where}  " if self.where else ""
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class UserError(Exception):
    """Input that cannot be used. Carries every fault that was found, not only the first."""

    def __init__(self, message: str | Iterable[Fault]):
        self.faults: tuple[Fault, ...] = (Fault("", "", message),) if isinstance(message, str) else tuple(message)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def did_you_mean(given: str, allowed: Sequence[str]) -> str:
    """Returns ' Did you mean X?' for the nearest allowed name, or an empty string."""
    lowered = {name.lower(): name for name in reversed(allowed)}
    near = get_close_matches(given.lower(), list(lowered), n=1, cutoff=0.6)
    return f" Did you mean {lowered[near[0]]}?" if near else ""
