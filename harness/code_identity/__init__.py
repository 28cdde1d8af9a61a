"""Identity of the code of a result: a hash of the source files that can change it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from harness.locations import PACKAGE

HARNESS = PACKAGE
#: rooms that run in a worker; planning, launching and reporting cannot change a result
RESULT_ROOMS = ("api.py", "code_identity", "data", "measure", "model", "nn", "registry", "stats", "train", "worker")


@cache
def code_identity(variant_file: Path) -> str:
    """Return 12 hex digits for these rooms and one variant: its file, what that imports from its own folder or package,

    and name and version of the installed packages that it imports, those excepted whose versions are in every record.
    """
    from harness.code_identity.closure import closure_of

    digest, found = hashlib.sha256(trunk_digest() + variant_file.read_bytes()), closure_of(variant_file)
    if found.files or found.distributions:
        contents = [(name, path.read_bytes()) for name, path in sorted(found.files.items())]
        digest.update(hash_contents([*contents, *((name, b"") for name in sorted(found.distributions))]).encode())
    return digest.hexdigest()[:12]


def trunk_digest() -> bytes:
    """Return the SHA-256 over these rooms: the code that can change the result of every variant."""
    return rooms_digest(RESULT_ROOMS)


@cache
def rooms_digest(rooms: tuple[str, ...]) -> bytes:
    """Return the SHA-256 over files and folders of the harness, by relative path and content."""
    places = [HARNESS / room for room in rooms]
    paths = [path for place in places for path in ([place] if place.is_file() else sorted(place.rglob("*.py")))]
    return bytes.fromhex(hash_files((str(path.relative_to(HARNESS)), path) for path in paths))


def hash_files(files: Iterable[tuple[str, Path]]) -> str:
    """Return the SHA-256 over (name, content) of files in this order, as hex digits."""
    return hash_contents((name, path.read_bytes()) for name, path in files)


def hash_contents(contents: Iterable[tuple[str, bytes]]) -> str:
    """Return the SHA-256 over (name, content) in this order, as hex digits."""
    digest = hashlib.sha256()
    for name, content in contents:
        digest.update(f"{name}\0".encode() + content + b"\0")
    return digest.hexdigest()
