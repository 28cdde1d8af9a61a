"""Seals of JSON files: a hash of the content, written into the file, that shows damage.

A seal protects against damage, not against forgery: a person who edits a file on purpose can seal it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

KEY = "seal"


class SealError(ValueError):
    """The content is not what was sealed."""


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of a content without its seal, as hex digits."""
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(content: Mapping[str, Any]) -> bytes:
    bare = {key: value for key, value in content.items() if key != KEY}
    return json.dumps(bare, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content with its seal as the last key. Raises: ValueError for NaN, TypeError for what JSON lacks."""
    return {**{key: value for key, value in content.items() if key != KEY}, KEY: digest(content)}


def canonical_text(content: Mapping[str, Any]) -> bytes:
    """Return the canonical JSON with its seal at the end, which `is_whole` checks without parsing it."""
    text = _canonical(content)
    return text[:-1] + f',"{KEY}":"{hashlib.sha256(text).hexdigest()}"}}'.encode()


def is_whole(text: bytes) -> bool:
    """Return whether a text is one of `canonical_text`, and unchanged."""
    bare, mark, rest = text.rpartition(f',"{KEY}":"'.encode())
    return bool(mark) and rest == hashlib.sha256(bare + b"}").hexdigest().encode() + b'"}'


def check(content: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the content without its seal, and whether it has one. Raises: SealError where the seal does not fit."""
    bare = {key: value for key, value in content.items() if key != KEY}
    if KEY not in content:
        return bare, False
    try:
        fits = content[KEY] == digest(bare)
    except (ValueError, RecursionError):  # NaN, or nested too deeply
        fits = False
    if not fits:
        raise SealError("its content is not what was sealed when it was written")
    return bare, True
