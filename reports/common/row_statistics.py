"""Rows of a run with their statistics: accuracy over seeds, paired difference to the baseline, costs, marks."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness import quantities
from harness.quantities import Quantity, accuracy
from harness.record import Record
from harness.stats.intervals import Estimate, mean_interval
from harness.stats.paired import PairedDifference, holm, paired_difference
from harness.store.load import LoadedRun
from harness.store.marks import trial_marks
from harness.store.plan_file import PlannedRow
from harness.text.clean import one_line

from . import code_versions
from .conditions import machine, majority_machine

LABEL_ORDER = ("verb", "noun", "action")
SPLIT = "test"


@dataclass(frozen=True)
class CostSummary:
    """A cost over the trials of a row: median, smallest and largest value, number of trials, marks."""

    median: float
    low: float
    high: float
    num_trials: int
    marks: tuple[str, ...] = ()
    comparable: bool = True


@dataclass(frozen=True)
class RowSummary:
    """One row of the table. Accuracies are fractions of the test split; a label without any score is absent."""

    plan: PlannedRow
    is_baseline: bool
    records: dict[int, Record]
    """seed -> record, of the finished trials"""
    top1: dict[str, Estimate]
    top5: dict[str, Estimate]
    difference: PairedDifference | None
    """of the headline label to the baseline; None for the baseline and where no seed is common"""
    adjusted_p: float | None
    costs: dict[str, CostSummary]
    """key of a quantity -> its summary; a quantity that no trial has is absent"""
    marks: tuple[str, ...]

    @property
    def label(self) -> str:
        """Return the label of the row."""
        return self.plan.label

    @property
    def num_planned(self) -> int:
        """Return the number of seeds of the sweep."""
        return len(self.plan.trials)


def labels(run: LoadedRun) -> list[str]:
    """Return the labels with a test score: verb, noun, action, then others in the order of the records."""
    met = dict.fromkeys(label for record in run.records.values() for label in record.scores.get(SPLIT, {}))
    return [label for label in LABEL_ORDER if label in met] + [label for label in met if label not in LABEL_ORDER]


def headline(run: LoadedRun) -> str | None:
    """Return the label of comparisons: action, else verb, else the first; None before any trial has finished."""
    found = labels(run)
    return next((label for label in ("action", "verb") if label in found), found[0] if found else None)


def summarise(run: LoadedRun) -> list[RowSummary]:
    """Return all rows of the plan, in its order, with the p values of the comparisons Holm-adjusted together."""
    majority = majority_machine(run)
    label = headline(run)
    baseline = next((row for row in run.plan.rows if row.row_id == run.plan.baseline_row), None)
    base_scores = _accuracies(_finished(run, baseline), label) if baseline and label else {}
    rows = [_summary(run, row, base_scores, label, majority) for row in run.plan.rows]
    compared = [index for index, row in enumerate(rows) if row.difference is not None]
    adjusted = holm([row.difference.p_value for row in rows if row.difference is not None])
    for index, p_value in zip(compared, adjusted, strict=True):
        rows[index] = replace(rows[index], adjusted_p=p_value)
    return rows


def _summary(
    run: LoadedRun, row: PlannedRow, base_scores: dict[int, float], label: str | None, majority: tuple[str, ...] | None
) -> RowSummary:
    records = _finished(run, row)
    is_baseline = row.row_id == run.plan.baseline_row
    compared = not is_baseline and label is not None
    costs = {item.key: _cost_summary(run, records, item, majority) for item in quantities.QUANTITIES}
    return RowSummary(
        plan=row,
        is_baseline=is_baseline,
        records=records,
        top1=_estimates(run, records, 1),
        top5=_estimates(run, records, 5),
        difference=paired_difference(_accuracies(records, label or ""), base_scores) if compared else None,
        adjusted_p=None,
        costs={key: cost for key, cost in costs.items() if cost is not None},
        marks=_row_marks(run, row, records),
    )


def _finished(run: LoadedRun, row: PlannedRow) -> dict[int, Record]:
    return {int(seed): run.records[trial] for seed, trial in row.trials.items() if trial in run.records}


def _accuracies(records: dict[int, Record], label: str, k: int = 1) -> dict[int, float]:
    """Return seed -> top-k accuracy, of the trials that have one."""
    read = accuracy(label, SPLIT, k).read
    return {seed: value for seed, record in records.items() if (value := read(record)) is not None}


def _estimates(run: LoadedRun, records: dict[int, Record], k: int) -> dict[str, Estimate]:
    found = {label: list(_accuracies(records, label, k).values()) for label in labels(run)}
    return {label: mean_interval(values) for label, values in found.items() if values}


def _cost_summary(
    run: LoadedRun, records: dict[int, Record], quantity: Quantity, majority: tuple[str, ...] | None
) -> CostSummary | None:
    known = [record for record in records.values() if quantity.read(record) is not None]
    here = [record for record in known if not quantity.measured or machine(run, record) == majority]
    used = here or known
    values = [value for record in used if (value := quantity.read(record)) is not None]
    if not values:
        return None
    marks = _joined([quantity.marks(record) for record in used])
    if not here:
        marks.append("measured under other conditions than most trials: not comparable")
    elif len(here) < len(known):
        marks.append(f"{len(known) - len(here)} of {len(known)} trials ran under other conditions: left out")
    if not quantity.measured and quantity.of_costs and len(set(values)) > 1:
        marks.append("differs between the seeds of this row")
    return CostSummary(statistics.median(values), min(values), max(values), len(values), tuple(marks), bool(here))


def _joined(marks: Sequence[Sequence[str]]) -> list[str]:
    """Return the marks of a row's trials; of one kind (the words before the colon) the first, with their number."""
    kinds: dict[str, list[str]] = {}
    for mark in (mark for of_trial in marks for mark in of_trial):
        kinds.setdefault(mark.partition(":")[0], []).append(mark)
    return [
        found[0] if len(set(found)) == 1 else f"{found[0]} (the first of {len(found)} such marks)"
        for found in kinds.values()
    ]


def _row_marks(run: LoadedRun, row: PlannedRow, records: dict[int, Record]) -> tuple[str, ...]:
    marks = [f"{kind} ({number} of {len(row.trials)} seeds)" for kind, number in unfinished(run, row).items()]
    if stale := sum(trial in run.plan.stale for trial in row.trials.values()):
        marks.append(f"trained by other code than the sweep's ({stale} of {len(row.trials)} seeds)")
    marks += code_versions.row_marks(records.values())
    marks += _joined([trial_marks(record) for record in records.values()])
    if len(records) == 1:
        marks.append("n = 1: no interval and no test")
    if any(SPLIT not in record.scores for record in records.values()):
        marks.append(f"a trial that is done has no {SPLIT} score: it is missing from the accuracies")
    return tuple(marks)


def unfinished(run: LoadedRun, row: PlannedRow) -> dict[str, int]:
    """Return `status: message` -> number of unfinished seeds of a row, in the order of the seeds."""
    found: Counter[str] = Counter()
    for trial in row.trials.values():
        missing = run.missing(trial)
        if missing is not None:
            found[one_line(_reason(*missing))] += 1
    return dict(found)


def _reason(status: str, message: str) -> str:
    first = message.strip().splitlines()
    return f"{status}: {first[0]}" if first else status
