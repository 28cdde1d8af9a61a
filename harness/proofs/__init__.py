"""Which code has passed `check`: a shipped variant by its file and its foundation, any other by its code identity.

The contract keeps every pass and every failure as an empty file named after the code identity, in a folder that
outlives the runs.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

from harness.code_identity import rooms_digest
from harness.proofs.shipped_hashes import PROOFS

#: environment variable that names the folder
FOLDER = "HARNESS_PROOFS"
#: what a pass of the contract depends on, in addition to the variant's file
FOUNDATION = ("api.py", "contract", "measure/count", "model/video_transformer.py", "nn")
UNPROVEN = "unproven: `check` has not passed for this code of the variant"


def folder() -> Path:
    """Return the folder of the proofs: $HARNESS_PROOFS, or one in the user's cache."""
    if given := os.environ.get(FOLDER):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "video-attention-harness", "proofs")


@cache
def proof_hash(file: Path) -> str:
    """Return 16 hex digits for a variant's file and its foundation, as they are at the first call."""
    return hashlib.sha256(rooms_digest(FOUNDATION) + file.read_bytes()).hexdigest()[:16]


def has_passed(code: str | None) -> bool:
    """Return whether `check` has passed for a code identity, or for each of several joined by '+'."""
    try:
        return bool(code) and all((folder() / part).is_file() for part in str(code).split("+"))
    except (OSError, RuntimeError):  # no home folder, or one that cannot be read
        return False


def has_failed(code: str | None) -> bool:
    """Return whether the last `check` has failed for a code identity, or for one of several joined by '+'."""
    try:
        return any(_failure(part).is_file() for part in (code or "").split("+") if part)
    except (OSError, RuntimeError):
        return False


def failures() -> list[str]:
    """Return the code identities whose last `check` has failed, sorted."""
    try:
        return sorted(path.stem for path in folder().glob("*.failed"))
    except (OSError, RuntimeError):
        return []


def is_proven(file: Path, code: str) -> bool:
    """Return whether a variant's file is a shipped one, unchanged, or `check` has passed for its code identity.

    A failed check of this code outweighs both, until `check` passes.
    """
    shipped = "+" not in code and PROOFS.get(file.stem) == proof_hash(file)
    return (shipped or has_passed(code)) and not has_failed(code)


def unproven_mark(code: str | None, was_proven: bool | None) -> str:
    """Return the mark of a result by this code, which was proven, not proven, or not noted; empty without one."""
    is_unproven = has_failed(code) or (was_proven is False and not has_passed(code))
    return UNPROVEN if is_unproven else ""


def note(code: str) -> Path:
    """Keep that `check` has passed; return where. Raises: OSError, RuntimeError."""
    return _keep(folder() / code, instead_of=_failure(code))


def note_failure(code: str) -> Path:
    """Keep that `check` has failed, until it passes; return where. Raises: OSError, RuntimeError."""
    return _keep(_failure(code), instead_of=folder() / code)


def _failure(code: str) -> Path:
    return folder() / f"{code}.failed"


def _keep(file: Path, instead_of: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    instead_of.unlink(missing_ok=True)
    return file
