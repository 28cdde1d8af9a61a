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
    bare = {key: value for key, value in content.items() if key != KEY}
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content with its seal as the last key. Raises: ValueError for NaN, TypeError for what JSON lacks."""
    return {**{key: value for key, value in content.items() if key != KEY}, KEY: digest(content)}


def check(content: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the content without its seal, and whether it has one. Raises: SealError where the seal does not fit."""
    bare = {key: value for key, value in content.items() if key != KEY}
    if KEY not in content:
        return bare, False
    if content[KEY] != digest(bare):
        raise SealError("its content is not what was sealed when it was written")
    return bare, True
