"""Errors in the user's input: where, what was given, what is allowed, what to do.

A `UserError` ends a command with its message and exit code 2; any other exception is a bug of the
program and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from harness.text.clean import clean

EXIT_USER_ERROR = 2


@dataclass(frozen=True)
class Fault:
    """One mistake in an input: `where` is `file:line:column`, `path` the dotted field."""

    where: str
    path: str
    message: str

    def __str__(self) -> str:
        """Return the fault as a message, clean: file names and values in it may hold any character."""
        place = f"{self.where}  " if self.where else ""
        return clean(f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}")


class UserError(Exception):
    """An input that cannot be used; carries every fault found, not only the first."""

    def __init__(self, message: str | Iterable[Fault]):
        self.faults: tuple[Fault, ...] = (Fault("", "", message),) if isinstance(message, str) else tuple(message)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def did_you_mean(given: str, allowed: Sequence[str]) -> str:
    """Return ' Did you mean X?' for the nearest allowed name, or an empty string."""
    lowered = {name.lower(): name for name in reversed(allowed)}
    near = get_close_matches(given.lower(), list(lowered), n=1, cutoff=0.6)
    return f" Did you mean {lowered[near[0]]}?" if near else ""
