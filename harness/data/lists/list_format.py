"""What a format of video lists is: how a file is recognised, and how its entries are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Fault


@dataclass(frozen=True)
class ListEntry:
    """One video of a list: its path as written, its class, and `list:line` for messages."""

    path: str
    label: int
    where: str


@dataclass(frozen=True)
class ListFormat:
    """One format of lists; a file of this package defines one as `FORMAT`.

    `summary` completes messages about a list that cannot be read. `recognises(path, text)` says whether a file is in
    this format, and `read(path, text, faults)` returns its entries and adds what cannot be read to `faults`.
    """

    summary: str
    recognises: Callable[[Path, str], bool]
    read: Callable[[Path, str, list[Fault]], list[ListEntry]]
