"""Reads JSON files that may be damaged: bounded in size, depth and numbers, and never a traceback."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from harness.bounds import MAX_INT, MAX_TEXT

MIB = 2**20
MAX_BYTES = 256 * MIB
MAX_DEPTH = 64


class DamagedError(ValueError):
    """Content that no program of this project wrote; the message says what is wrong with it."""


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Read a whole file of at most `limit` bytes.

    Raises: OSError; DamagedError for a larger file, a pipe, a device or a folder.
    """
    # a pipe without a writer would block for ever
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise DamagedError("it is not a plain file")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise DamagedError(f"it is larger than {limit / MIB:g} MiB")
    return content


def read_object(path: Path, limit: int = MAX_BYTES, *, nan_is_null: bool = False) -> dict[str, Any]:
    """Read a JSON object. Raises: OSError; DamagedError."""
    return parse_object(read_bytes(path, limit), nan_is_null=nan_is_null)


def parse_object(content: bytes, *, nan_is_null: bool = False) -> dict[str, Any]:
    """Parse a JSON object and check its depth, numbers and texts. Raises: DamagedError."""
    try:
        found = json.loads(content, parse_constant=(lambda name: None) if nan_is_null else None)
    except (ValueError, RecursionError, MemoryError) as error:
        raise DamagedError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not isinstance(found, dict):
        raise DamagedError("not a JSON object")
    _check(found, MAX_DEPTH)
    return found


def _check(value: Any, depth: int) -> None:
    """Check the bounds of a parsed value and of all that lies in it."""
    kind = type(value)
    if kind is float:
        if not math.isfinite(value):
            raise DamagedError(f"{value} is no number")
    elif kind is int:
        if abs(value) > MAX_INT:
            raise DamagedError("a whole number has more than 63 bits")
    elif kind is str:
        _check_text(value)
    elif kind is list or kind is dict:
        if not depth:
            raise DamagedError(f"nested more than {MAX_DEPTH} deep")
        for item in value.values() if kind is dict else value:
            _check(item, depth - 1)
        for key in value if kind is dict else ():
            _check_text(key)


def _check_text(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise DamagedError(f"a text has more than {MAX_TEXT} characters")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half a surrogate pair, which no file and no terminal takes
            raise DamagedError("a text is not valid Unicode") from None
