"""A small table that a terminal prints as text and a notebook shows as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import zip_longest


@dataclass(frozen=True, repr=False)
class Table:
    """Cells as text; `notes` stand below. The first column is aligned to the left, the others to the right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
        return "\n".join([*(_aligned(line, widths) for line in lines), *self.notes])

    def _repr_html_(self) -> str:
        return "".join(self._html())

    def _html(self) -> Iterator[str]:
        yield "<table><thead>"
        yield _row("th", self.header)
        yield "</thead><tbody>"
        for row in self.rows:
            yield _row("td", row)
        yield "</tbody></table>"
        for note in self.notes:
            yield f"<p>{escape(note)}</p>"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=False)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()


def _row(tag: str, cells: Sequence[str]) -> str:
    styles = ["text-align: left", *["text-align: right"] * (len(cells) - 1)]
    inner = (f'<{tag} style="{style}">{escape(cell)}</{tag}>' for style, cell in zip(styles, cells, strict=True))
    return f"<tr>{''.join(inner)}</tr>"
