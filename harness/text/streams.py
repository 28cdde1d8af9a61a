"""Standard output and error without control characters, whatever is printed; and the console of our tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from harness.text.clean import clean

if TYPE_CHECKING:
    from rich.console import Console


class CleanStream:
    """A text stream that cleans what is written; everything else is `raw`'s."""

    def __init__(self, raw: TextIO):
        self.raw = raw

    def write(self, text: str) -> int:
        """Write clean text and return the number of characters given."""
        self.raw.write(clean(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write clean lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


@contextmanager
def clean_output() -> Iterator[None]:
    """Clean everything that is printed inside, by our code or by others'."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = CleanStream(before[0]), CleanStream(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def console(width: int | None = None) -> Console:
    """Return a console for tables on standard output. `width`: in characters, where that is no terminal.

    It writes past the cleaning of the stream, which would remove its colours, and cleans the texts of cells instead.
    """
    from rich.console import Console
    from rich.text import Text

    class CleanConsole(Console):
        def render_str(self, text: str, *arguments: Any, **options: Any) -> Text:
            return super().render_str(clean(text), *arguments, **options)

    raw = getattr(sys.stdout, "raw", None) if isinstance(sys.stdout, CleanStream) else sys.stdout
    found = CleanConsole(file=raw)
    return found if width is None or found.is_terminal else CleanConsole(file=raw, width=width)
