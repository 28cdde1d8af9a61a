"""The mark of variants whose code has not passed the contract."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.code_identity import code_identity
from harness.proofs import UNPROVEN, is_proven
from harness.registry import variant_file


def mark_of(name: str, variant_dirs: Sequence[Path | str] = ()) -> str:
    """Return the mark of a variant that is unproven, in words; empty if its code has passed `check`."""
    file = variant_file(name, tuple(map(Path, variant_dirs)))
    return "" if is_proven(file, code_identity(file)) else UNPROVEN
