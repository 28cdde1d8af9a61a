"""Marks: what makes a number of a trial, or the whole trial, doubtful or incomparable, each in a few words.

A mark is a footnote in tables, a star with the reason under a figure, a column of `trials.csv`. Marks that agree up to
the colon are of one kind: a row shows the first of a kind, with their number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from harness import units
from harness.proofs import UNPROVEN as UNPROVEN
from harness.proofs import failures as failures
from harness.proofs import unproven_mark
from harness.record import Costs, Record, Timing

CostMarks = Callable[[Costs], tuple[str, ...]]
TrialMarks = Callable[[Record], tuple[str, ...]]
LOWER_BOUND = "MACs are a lower bound"


def are_mixed(codes: Iterable[str]) -> bool:
    """Return whether results come from several versions of the code: between trials, or within one ("A+B")."""
    every = set(codes)
    return len(every) > 1 or any("+" in code for code in every)


def unproven_marks(record: Record) -> tuple[str, ...]:
    """Return the mark of code that has not passed the contract, neither before the trial ended nor since."""
    mark = unproven_mark(record.code, record.proven)
    return (mark,) if mark else ()


#: marks of a whole trial: they stand at its row, and every accuracy and cost of it is affected
TRIAL_MARKS: tuple[TrialMarks, ...] = (unproven_marks,)


def trial_marks(record: Record) -> tuple[str, ...]:
    """Return all marks of a trial as a whole."""
    return tuple(mark for marks in TRIAL_MARKS for mark in marks(record))


def unmarked(record: Record) -> tuple[str, ...]:
    """Return no marks: nothing can make the number of a trial doubtful."""
    return ()


def no_marks(costs: Costs) -> tuple[str, ...]:
    """Return no marks, of costs."""
    return ()


def count_marks(costs: Costs) -> tuple[str, ...]:
    """Return the marks of counted multiply-accumulates: not all operators are counted, or the counts disagree."""
    macs = costs.macs
    if macs.status == "lower_bound":
        uncounted = ", ".join(f"{name} ×{number}" for name, number in sorted(macs.uncounted_ops.items()))
        return (f"{LOWER_BOUND}: not counted: {uncounted or 'unknown operators'}",)
    if macs.status == "disagrees":
        other = "not available" if macs.flop_counter_macs is None else units.macs(macs.flop_counter_macs)
        closed = units.macs(macs.closed_form_macs)
        return (f"the MAC counts disagree: fvcore is shown; torch's counter: {other}; closed form: {closed}",)
    return ()


def view_marks(costs: Costs) -> tuple[str, ...]:
    """Return the marks of the multiply-accumulates of a view: those of the count, and work that a mask drops."""
    macs = costs.macs
    if macs.useful_macs in (None, macs.macs_per_view):
        return count_marks(costs)
    masked = f"executed work; without the pairs that a mask drops: {units.macs(macs.useful_macs)}"
    return (*count_marks(costs), masked)


def backward_marks(costs: Costs) -> tuple[str, ...]:
    """Return the marks of the multiply-accumulates of the backward pass."""
    back = costs.macs.backward
    return () if back is None or back.status == "exact" else (f"backward MACs: {back.status.replace('_', ' ')}",)


def dirty_faults(costs: Costs) -> list[str]:
    """Return what the preflight found wrong with the machine just before the trial was timed."""
    found = (costs.timings.preflight or {}).get("dirty", []) if costs.timings else []
    return [re.sub(r" \(\d+\)(?= \()", "", fault) for fault in found]  # earlier records name process ids


def timing_marks(name: str) -> CostMarks:
    """Return a reader of the marks of one timing (a field of `Timings`): unstable, not alone, dirty."""

    def marks(costs: Costs) -> tuple[str, ...]:
        if costs.timings is None:
            return ()
        timing: Timing = getattr(costs.timings, name)
        unstable = ("unstable timing: spread above 5 % of the median, or a drift",) if timing.unstable else ()
        alone = () if costs.timings.alone else ("other trials ran during the timing",)
        return (*unstable, *alone, *(f"dirty timing: {fault}" for fault in dirty_faults(costs)))

    return marks
