"""The contract that every variant file satisfies.

`cases` spreads a variant over its knobs, the global tokens it can carry, and pairs of both; `CHECKS` maps a name to a
function that raises `Broken`. `python -m harness check` and the tests run the same list.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.code_identity import code_identity
from harness.contract.cases import EVEN, SMALL, WIDER, Case, CaseSpread, cases, perturbed_encoder, random_tokens, spread
from harness.contract.checks import CHECKS, Broken
from harness.contract.degenerate import NONE_DECLARED, NONE_FITS
from harness.contract.masks import NOT_MASKED
from harness.proofs import FOLDER, note, note_failure
from harness.proofs.declarations import missing
from harness.registry import load_variant, variant_file

__all__ = [
    "CHECKS", "EVEN", "SMALL", "WIDER", "Broken", "Case", "CheckOutcome", "cases", "perturbed_encoder", "random_tokens",
    "run", "spread",
]  # fmt: skip


@dataclass(frozen=True)
class CheckOutcome:
    """Result of one check of one variant; `extent` is how many cases it ran on, or why none.

    `refused` holds the cases that the variant refuses, with the reason, in the outcome `cases`.
    """

    check: str
    num_applied: int
    extent: str
    failures: tuple[str, ...]
    refused: tuple[str, ...] = ()


def run(name: str, variant_dirs: Sequence[Path] = ()) -> Iterator[CheckOutcome]:
    """Run every check on every case of a variant; the first outcome, `cases`, counts the cases and refusals.

    The last outcome, `proof`, says where it is kept that this code of the variant has passed or failed.
    """
    found = spread(name, variant_dirs)
    code = code_identity(variant_file(name, tuple(variant_dirs)))
    outcomes = [_cases(found)]
    yield outcomes[0]
    lacking = missing(load_variant(name, variant_dirs))
    for check_name in CHECKS if found.cases else ():
        known = check_name not in lacking
        outcomes.append(_outcome(check_name, found.cases) if known else _undeclared(check_name, lacking[check_name]))
        yield outcomes[-1]
    yield _proof(code, has_passed=not any(outcome.failures for outcome in outcomes))


def _undeclared(check_name: str, methods: str) -> CheckOutcome:
    return CheckOutcome(check_name, 0, "not declared", (f"missing: {methods}",))


def _proof(code: str, has_passed: bool) -> CheckOutcome:
    """Keep whether this code passes: unless it does, tables mark its results as unproven."""
    try:
        kept = f"kept as {note(code)}" if has_passed else f"none: results are marked unproven ({note_failure(code)})"
        return CheckOutcome("proof", int(has_passed), kept, ())
    except (OSError, RuntimeError) as error:
        return CheckOutcome("proof", 0, f"cannot be kept ({error}): set {FOLDER} to a writable folder", ())


def _cases(found: CaseSpread) -> CheckOutcome:
    """Return the outcome `cases`: it fails for a variant without any case, which no check could run on."""
    failures = [f"{label}: cannot be set up: {_crash(error)}" for label, error in found.crashed.items()]
    labels: dict[str, list[str]] = {}
    for label, reason in found.refused.items():
        labels.setdefault(" ".join(reason.split()), []).append(label)
    refused = tuple(f"{'; '.join(of)}: refused: {reason}" for reason, of in labels.items())
    if not found.cases:
        failures += refused
    total = len(found.cases) + len(found.refused) + len(found.crashed)
    extent = f"{len(found.refused)} of {total} refused"
    return CheckOutcome("cases", len(found.cases), extent, tuple(failures), refused if found.cases else ())


def _outcome(check_name: str, all_cases: Sequence[Case]) -> CheckOutcome:
    failures, idle = [], []
    for case in all_cases:
        try:
            reason = CHECKS[check_name](case)
            idle += [reason] if reason else []
        except Broken as broken:
            failures.append(f"{case.label}: {broken}")
        except Exception as error:  # an exception in a variant's code fails this case; the other checks still run
            failures.append(f"{case.label}: {_crash(error)}")
    num_applied = len(all_cases) - len(idle)
    if num_applied:
        return CheckOutcome(check_name, num_applied, f"{num_applied} of {len(all_cases)} cases", tuple(failures))
    extent = NONE_FITS if NONE_FITS in idle else idle[0]
    # a check that ran on no case must not pass silently
    failures = [] if extent in (NONE_DECLARED, NOT_MASKED) else [f"checked on no case: {extent}"]
    return CheckOutcome(check_name, 0, extent, tuple(failures))


def _crash(error: Exception) -> str:
    """Return the exception and the innermost line of a variant's file, or else of any file."""
    frames = traceback.extract_tb(error.__traceback__)
    package = str(Path(__file__).resolve().parent.parent)
    own = [frame for frame in frames if not frame.filename.startswith((package, sys.prefix, sys.base_prefix, "<"))]
    place = (own or frames)[-1]
    return f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
