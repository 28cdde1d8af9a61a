"""Text of data in Markdown, LaTeX and cells of CSV: none of it can become markup or a formula."""

from __future__ import annotations

import re
from typing import Any

_TEX = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "≥": r"$\geq$", "≤": r"$\leq$",
    "Δ": r"$\Delta$", "−": r"$-$", "×": r"$\times$", "<": r"$<$", ">": r"$>$", "|": r"\textbar{}",
    "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}", "*": "{*}",  # the last three are arguments after a line break
})  # fmt: skip
_MARKDOWN = str.maketrans(
    {character: f"\\{character}" for character in "\\`*_[]!#~|"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "\n": " "}
)
#: what GitHub turns into links without any markup
_LINKS = re.compile(r"(://|www\.)", re.IGNORECASE)
_FIRST = re.compile(r"^(\s*\d*)([-+=.)])")
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def markdown(text: str) -> str:
    """Return text that GitHub shows as it is: no markup, no HTML, no links, no images, on one line."""
    return _LINKS.sub(lambda found: found[0].replace(":", "\\:").replace(".", "\\."), text.translate(_MARKDOWN))


def markdown_paragraph(text: str) -> str:
    """Return text as `markdown` does, for the beginning of a line: it starts no list and underlines no heading."""
    return _FIRST.sub(r"\1\\\2", markdown(text))


def latex(text: str) -> str:
    """Return text that LaTeX sets as it is, on one line."""
    return " ".join(text.translate(_TEX).split())


def csv_cell(value: Any) -> Any:
    """Return a cell of CSV: text that a spreadsheet would take for a formula gets an apostrophe in front.

    Numbers stay numbers, and so does text that is one, such as "-5". Everything else is unchanged.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(_FORMULA) or _is_number(value):
        return value
    return f"'{value}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
