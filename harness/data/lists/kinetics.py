"""Kinetics-style lists of videos: one `path label` a line. Also the format of lists that no other format recognises."""

from __future__ import annotations

import re
from pathlib import Path

from harness.data.lists.list_format import ListEntry, ListFormat
from harness.errors import Fault

# Read from the right: the label, perhaps the number of frames, and all before them is the path, spaces included.
_LINE = re.compile(r"(?P<path>\S.*?)(?:(?:\s*,\s*|\s+)\d+)?(?:\s*,\s*|\s+)(?P<label>[0-9]{1,7})")
SUMMARY = "a line is `path label`, `path frames label`, or the same with commas; label is a number from 0 on"


def parse_line(line: str) -> tuple[str, int] | None:
    """Splits one line into path and label; None if it is not a line of a list. A count of frames is ignored."""
    match = _LINE.fullmatch(line.strip())
    return (match["path"], int(match["label"])) if match else None


def read(path: Path, text: str, faults: list[Fault]) -> list[ListEntry]:
    """Returns the entries of a list; blank lines are skipped, other lines that cannot be read go to `faults`."""
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if (parsed := parse_line(line)) is None:
            faults.append(Fault(f"{path}:{number}", "", f"cannot read {line.strip()!r}; {SUMMARY}"))
        else:
            entries.append(ListEntry(*parsed, f"{path}:{number}"))
    return entries


FORMAT = ListFormat(SUMMARY, lambda path, text: True, read)
