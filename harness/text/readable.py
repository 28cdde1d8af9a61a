"""Output that any terminal can show: characters that its encoding lacks are replaced by readable ones."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

_READABLE = {
    "×": "x", "±": "+/-", "·": "-", "–": "-", "—": "-", "…": "...", "→": "->", "≥": ">=", "≤": "<=", "≈": "~", "µ": "u",
    "‘": "'", "’": "'", "“": '"', "”": '"', "−": "-", "√": "sqrt", "━": "-", "─": "-", "╸": "-", "╺": "-", "•": "*",
    "│": "|", "ß": "ss",
}  # fmt: skip


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_readable, error.object[error.start : error.end])), error.end


def _readable(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _READABLE.get(character) or plain or character.encode("ascii", "backslashreplace").decode()


def make_output_readable() -> None:
    """Let standard output and error replace what they cannot encode: ± becomes +/-, an unknown character \\u4e2d."""
    codecs.register_error("readable", _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="readable")
