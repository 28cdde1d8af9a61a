"""The contract: what every variant file must satisfy, checked by existing.

`cases` spreads a variant over its own knobs (one at a time) and the global tokens it can carry; `CHECKS` maps a
name to a function that raises `Broken`. `python -m harness check` and the tests run the same list.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.contract.cases import SMALL, WIDER, Case, cases, perturbed_encoder, random_tokens
from harness.contract.checks import CHECKS, Broken

__all__ = [
    "CHECKS", "SMALL", "WIDER", "Broken", "Case", "Outcome", "cases", "perturbed_encoder", "random_tokens", "run",
]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """One check of one variant over all its cases."""

    check: str
    num_cases: int
    failures: tuple[str, ...]


def run(name: str, variant_dirs: Sequence[Path] = ()) -> Iterator[Outcome]:
    """Runs every check on every case of a variant."""
    all_cases = cases(name, variant_dirs)
    for check_name, check in CHECKS.items():
        failures = []
        for case in all_cases:
            try:
                check(case)
            except Broken as broken:
                failures.append(f"{case.label}: {broken}")
            except Exception as error:  # whatever a variant's code raises is its failure, not the end of the checks
                failures.append(f"{case.label}: {_crash(error)}")
        yield Outcome(check_name, len(all_cases), tuple(failures))


def _crash(error: Exception) -> str:
    """What was raised, and the innermost place in a variant's file or, failing that, anywhere."""
    frames = traceback.extract_tb(error.__traceback__)
    package = str(Path(__file__).resolve().parent.parent)
    own = [frame for frame in frames if not frame.filename.startswith((package, sys.prefix, sys.base_prefix, "<"))]
    place = (own or frames)[-1]
    return f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
