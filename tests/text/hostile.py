"""Texts that attack a terminal, a table or a page, and checks that none of them got through."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser

from markdown_it import MarkdownIt

#: one for each kind of attack; lone surrogates and invalid UTF-8 arrive through JSON escapes and logs
TEXTS = (
    "\x1b[31mred\x1b[0m \x1b[2J\x1b[1;1H", "\x1b]0;title\x07\x1b]8;;http://evil\x1b\\link", "\x1b", "\x9b2J", "\x00nul\x00",
    "bell\x07 back\x08\x08\x08", "over\rwritten", "two\nlines\r\n\n", "\ttab", "\x85\u2028\u2029\x0b\x0c\x1c",
    "\u202eright to left\u2066\u200f", "\ufeff\u200b\u2060", "lone \ud800 surrogate \udcff", "\uffff\U000e0041",
    "=HYPERLINK(\"http://evil\")", "+1+cmd|'/C calc'!A0", "-2+3", "@SUM(1)", " =1", "＝1",
    "[x](javascript:alert(1))", "![x](http://evil/x.png)", "<img src=x onerror=alert(1)>", "<script>alert(1)</script>",
    "`code` ```", "**bold** _a_ ~~b~~", "http://evil.example www.evil.example", "# heading", "- item", "1. item", "===",
    "a | b || c \\| d", "</td></table>", "\" onmouseover=\"alert(1)", "&lt;b&gt; &#96;", "{{ 7 * 7 }} {% raw %}",
    r"\input{/etc/passwd} $x$ %", "[1ex] first", "* first", "\\", "\\[x](y)", "x" * 100_000, "é" * 5000, "",
)  # fmt: skip
#: what a spreadsheet takes for the start of a formula
FORMULA = tuple("=+-@＝＋－＠\t\r")


def unprintable(text: str) -> list[str]:
    """Returns the characters of a text of several lines that no output may have."""
    return [repr(character) for character in text if not character.isprintable() and character != "\n"]


def formulas(text: str) -> list[str]:
    """Returns the cells of a CSV text that a spreadsheet would compute."""
    cells = [cell for line in csv.reader(io.StringIO(text, newline="")) for cell in line]
    return [cell for cell in cells if cell.lstrip().startswith(FORMULA) and not _is_number(cell)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def markdown_markup(text: str) -> set[str]:
    """Returns the kinds of markup in Markdown that only data could have brought in."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    kinds = {item.type for token in tokens for item in (token, *(token.children or []))}
    return kinds & {
        "link_open", "image", "html_inline", "html_block", "code_inline", "code_block", "fence", "em_open", "s_open",
        "bullet_list_open", "ordered_list_open", "blockquote_open", "hr", "hardbreak",
    }  # fmt: skip


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.faults += [tag] if tag in ("script", "img", "iframe", "object", "form", "input") else []
        for name, value in attributes:
            ours = name != "href" or (value or "").startswith(("#", "table."))
            self.faults += [f"{tag} {name}={value}"] if name.startswith("on") or (tag == "a" and not ours) else []


def html_faults(text: str) -> list[str]:
    """Returns elements and attributes of a page that only data could have brought in."""
    page = _Page()
    page.feed(text)
    return page.faults
