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

from harness.contract.cases import EVEN, SMALL, WIDER, Case, CaseSpread, cases, perturbed_encoder, random_tokens, spread
from harness.contract.checks import CHECKS, Broken
from harness.contract.degenerate import NONE_DECLARED, NONE_FITS
from harness.contract.masks import NOT_MASKED

__all__ = [
    "CHECKS", "EVEN", "SMALL", "WIDER", "Broken", "Case", "CheckOutcome", "cases", "perturbed_encoder", "random_tokens",
    "run", "spread",
]  # fmt: skip


@dataclass(frozen=True)
class CheckOutcome:
    """One check of one variant: `extent` says on how much of it, e.g. '1 of 18 cases' or 'none declared'."""

    check: str
    num_applied: int
    extent: str
    failures: tuple[str, ...]


def run(name: str, variant_dirs: Sequence[Path] = ()) -> Iterator[CheckOutcome]:
    """Runs every check on every case of a variant; the first outcome, `cases`, says what there is to run on."""
    found = spread(name, variant_dirs)
    yield _cases(found)
    if found.cases:
        for check_name in CHECKS:
            yield _outcome(check_name, found.cases)


def _cases(found: CaseSpread) -> CheckOutcome:
    """A variant whose default is refused everywhere has kept nothing: that is a failure, not an empty success."""
    failures = [f"{label}: cannot be set up: {_crash(error)}" for label, error in found.crashed.items()]
    if not found.cases:
        failures += [f"{label}: refused: {text}" for label, text in found.refused.items()]
    total = len(found.cases) + len(found.refused) + len(found.crashed)
    return CheckOutcome("cases", len(found.cases), f"{len(found.refused)} of {total} refused", tuple(failures))


def _outcome(check_name: str, all_cases: Sequence[Case]) -> CheckOutcome:
    failures, idle = [], []
    for case in all_cases:
        try:
            reason = CHECKS[check_name](case)
            idle += [reason] if reason else []
        except Broken as broken:
            failures.append(f"{case.label}: {broken}")
        except Exception as error:  # whatever a variant's code raises is its failure, not the end of the checks
            failures.append(f"{case.label}: {_crash(error)}")
    num_applied = len(all_cases) - len(idle)
    if num_applied:
        return CheckOutcome(check_name, num_applied, f"{num_applied} of {len(all_cases)} cases", tuple(failures))
    extent = NONE_FITS if NONE_FITS in idle else idle[0]
    # what is declared and never compared, or a check without a case, would pass unseen
    failures = [] if extent in (NONE_DECLARED, NOT_MASKED) else [f"checked on no case: {extent}"]
    return CheckOutcome(check_name, 0, extent, tuple(failures))


def _crash(error: Exception) -> str:
    """What was raised, and the innermost place in a variant's file or, failing that, anywhere."""
    frames = traceback.extract_tb(error.__traceback__)
    package = str(Path(__file__).resolve().parent.parent)
    own = [frame for frame in frames if not frame.filename.startswith((package, sys.prefix, sys.base_prefix, "<"))]
    place = (own or frames)[-1]
    return f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
