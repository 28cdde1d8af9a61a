"""Which code made a result: a hash of the source files that can change it, and of no others."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

HARNESS = Path(__file__).resolve().parent
#: what runs in a worker; planning, launching and reporting cannot change what a trial finds
RESULT_ROOMS = ("api.py", "data", "measure", "model", "nn", "train", "worker")


@cache
def code_identity(variant_file: Path) -> str:
    """12 hex digits for the harness' working rooms and one variant's file, by relative path and content."""
    digest = hashlib.sha256()
    digest.update(_trunk_digest() + variant_file.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _trunk_digest() -> bytes:
    digest = hashlib.sha256()
    for room in RESULT_ROOMS:
        place = HARNESS / room
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            digest.update(f"{path.relative_to(HARNESS)}\0".encode() + path.read_bytes() + b"\0")
    return digest.digest()
