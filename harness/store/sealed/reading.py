"""Reads JSON files that may be damaged: bounded in size, depth and numbers, and never a traceback."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from harness.bounds import MAX_INT, MAX_TEXT
from harness.store.sealed import seal

MIB = 2**20
MAX_BYTES = 256 * MIB
MAX_DEPTH = 64
CHUNK_BYTES = 16 * MIB


class DamagedError(ValueError):
    """Content that no program of this project wrote; the message says what is wrong with it."""


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Read a whole file of at most `limit` bytes.

    Raises: OSError; DamagedError for a larger file, a pipe, a device or a folder.
    """
    # a pipe without a writer would block for ever
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DamagedError("it is not a plain file")
        content = b""
        while len(content) <= limit and (more := os.read(descriptor, CHUNK_BYTES)):
            content += more
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise DamagedError(f"it is larger than {limit / MIB:g} MiB")
    return content


def read_sealed(path: Path, limit: int = MAX_BYTES) -> tuple[dict[str, Any], bool]:
    """Read a JSON object; return it without its seal, and whether it has one.

    Raises: OSError; DamagedError; SealError where the seal does not fit.
    """
    content, is_sealed = seal.check(parse_object(read_bytes(path, limit)))
    if not is_sealed:  # what was sealed is what this program wrote
        check_bounds(content)
    return content, is_sealed


def parse_object(content: bytes, *, nan_is_null: bool = False) -> dict[str, Any]:
    """Parse a JSON object. Raises: DamagedError."""
    try:
        found = json.loads(content, parse_constant=(lambda name: None) if nan_is_null else None)
    except (ValueError, RecursionError, MemoryError) as error:
        raise DamagedError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not isinstance(found, dict):
        raise DamagedError("not a JSON object")
    return found


def check_bounds(content: dict[str, Any]) -> None:
    """Check depth, numbers and texts of a parsed object. Raises: DamagedError."""
    _check(content, MAX_DEPTH)


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
