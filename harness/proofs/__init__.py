"""Which code has passed `check`: a shipped variant by the content of its file, any other by the identity of its code.

The contract notes every pass as an empty file named after the code identity, in a folder that outlives the runs.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from harness.proofs.shipped_hashes import PROOFS

#: environment variable that names the folder
FOLDER = "HARNESS_PROOFS"


def folder() -> Path:
    """Return the folder of the proofs: $HARNESS_PROOFS, or one in the user's cache."""
    if given := os.environ.get(FOLDER):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "video-attention-harness", "proofs")


def content_hash(file: Path) -> str:
    """Return 16 hex digits for the content of a variant's file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def has_passed(code: str | None) -> bool:
    """Return whether `check` has passed for a code identity, or for each of several joined by '+'."""
    try:
        return bool(code) and all((folder() / part).is_file() for part in str(code).split("+"))
    except (OSError, RuntimeError):  # no home folder, or one that cannot be read
        return False


def is_proven(file: Path, code: str) -> bool:
    """Return whether a variant's file is a shipped one, unchanged, or `check` has passed for its code identity."""
    shipped = "+" not in code and PROOFS.get(file.stem) == content_hash(file)
    return shipped or has_passed(code)


def note(code: str) -> Path:
    """Keep that `check` has passed; return where. Raises: OSError."""
    file = folder() / code
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return file


def forget(code: str) -> None:
    """Drop the proof of a code identity that does not pass."""
    with suppress(OSError, RuntimeError):  # a folder that cannot be read holds no proof
        (folder() / code).unlink(missing_ok=True)
