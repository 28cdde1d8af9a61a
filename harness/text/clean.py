"""Cleans text of other origin (data, workers, variants, queues, the network) before it is shown or written.

What remains is printable: no control characters, no sequences that move the cursor, no overrides of the direction of
writing, no lone surrogates. An unprintable character is shown as its escape, such as `\\x00` or `\\u202e`. The
stream that the text is written to decides the encoding.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

LINE_LIMIT = 300  # characters of a message in a table or a list
TEXT_LIMIT = 4000  # characters of a message in a file
SHORTENED = " ... [shortened] ... "

#: whole sequences of a terminal: CSI (colours, cursor), OSC and relatives with their end, those of character sets
_SEQUENCES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[\\]PX^_][^\x1b\x07\n]*(?:\x1b\\\\|\x07)|\x1b(?:[()][0-9A-Za-z]|[=>78])"
)
Value = TypeVar("Value")


def clean(text: str) -> str:
    """Return text of any number of lines without unprintable characters; sequences of a terminal are removed."""
    if text.isprintable():
        return text
    text = _SEQUENCES.sub("", text).replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    return "\n".join(map(escaped, text.split("\n")))


def escaped(text: str) -> str:
    """Return text with every unprintable character, newlines too, as its escape: different texts stay different."""
    return text if text.isprintable() else "".join(map(_escaped_character, text))


def _escaped_character(character: str) -> str:
    if character.isprintable():
        return character
    return " " if unicodedata.category(character) == "Zs" else character.encode("unicode_escape").decode("ascii")


def shortened(text: str, limit: int) -> str:
    """Return the text; of one with more than `limit` characters its head and its tail, with a mark between them."""
    room = limit - len(SHORTENED)
    return text if len(text) <= limit else f"{text[: room - room // 3]}{SHORTENED}{text[-(room // 3) :]}"


def bounded(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return clean text of at most `limit` characters, with its lines; for files."""
    return shortened(clean(shortened(text, limit)), limit)


def one_line(text: str, limit: int = LINE_LIMIT) -> str:
    """Return clean text on one line, of at most `limit` characters; for tables, lists and messages."""
    if len(text) <= limit and text.isprintable():
        return text.strip()
    lines = (line.strip() for line in clean(shortened(text, 4 * limit)).split("\n"))
    return shortened(" ".join(line for line in lines if line), limit)


def said(error: BaseException) -> str:
    """Return the message of an exception, clean and bounded; one that cannot say it is named all the same."""
    try:
        return bounded(str(error))
    except BaseException as other:  # the exception may be a variant's own
        return f"(an exception whose message cannot be read: {type(other).__name__})"


def cleaned(value: Value, limit: int = TEXT_LIMIT) -> Value:
    """Return a copy of nested data (models, dataclasses, mappings, sequences) in which every text is clean.

    Texts are on one line; keys of mappings are escaped, so that none is lost. Numbers are those of `value`.
    """
    found: Any = value
    if isinstance(value, str):
        found = one_line(value, limit)
    elif isinstance(value, Mapping):
        found = {escaped(key) if isinstance(key, str) else key: cleaned(item, limit) for key, item in value.items()}
    elif isinstance(value, list | tuple) and any(not isinstance(item, int | float) for item in value):
        found = type(value)(cleaned(item, limit) for item in value)
    elif hasattr(found, "model_copy"):
        found = found.model_copy(update={name: cleaned(item, limit) for name, item in found})
    elif is_dataclass(value) and not isinstance(value, type):
        found = type(value)(**{item.name: cleaned(getattr(value, item.name), limit) for item in fields(value)})
    return found
