"""Report of an import: every parameter of the model and every key of the file is in exactly one list."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

LISTS = ("loaded", "resized", "inflated", "initialised", "ignored")


@dataclass(frozen=True)
class Item:
    """A parameter of ours (or ""), the keys of the file that it comes from (or ""), and what was done or why."""

    ours: str
    theirs: str
    detail: str = ""

    def pattern(self) -> Item:
        """Return the item with layer numbers replaced by *, so that equal lines of all layers become one."""
        ours, theirs = (
            re.sub(r"(?<=[._/])\d+(?=[._/])|(?<=encoderblock_)\d+", "*", name) for name in (self.ours, self.theirs)
        )
        return Item(ours, theirs, self.detail)


@dataclass
class ImportReport:
    """Items that were loaded unchanged, resized, inflated from image to video, left as initialised, or ignored."""

    file: str
    layout: str
    loaded: list[Item] = field(default_factory=list)
    resized: list[Item] = field(default_factory=list)
    inflated: list[Item] = field(default_factory=list)
    initialised: list[Item] = field(default_factory=list)
    ignored: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the report as lines: counts, then every list with equal lines of all layers merged."""
        counts = ", ".join(f"{len(getattr(self, name))} {name}" for name in LISTS)
        lines = [f"weights {self.file} (layout {self.layout}): {counts}"]
        for name in LISTS:
            items: dict[Item, int] = {}
            for item in getattr(self, name):
                items[item.pattern()] = items.get(item.pattern(), 0) + 1
            lines += [f"  {name:11s} {_line(item, count)}" for item, count in items.items()]
        return "\n".join([*lines, *(f"  note        {note}" for note in self.notes)])


def _line(item: Item, count: int) -> str:
    names = " <- ".join(filter(None, (item.ours, item.theirs)))
    times = f" (x{count})" if count > 1 else ""
    return f"{names}{times}{': ' + item.detail if item.detail else ''}"
