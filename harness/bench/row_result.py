"""Statistics of one row of a comparison, over the processes that held it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from harness.bench.machine_best import MACHINE_BEST_FILE
from harness.bench.options import BenchOptions
from harness.bench.quiet_blocks import CountedRuns, ProcessRun, choose_runs
from harness.measure.time.latency import UNSTABLE_SPREAD
from harness.record import RecordModel
from harness.stats.ratios import ratio_of


class RowResult(RecordModel):
    """One row compared with the baseline. Times are milliseconds of a call; None if no process answered."""

    label: str
    status: str
    message: str = ""
    median_ms: float | None = None
    iqr_ms: float | None = None
    p95_ms: float | None = None
    first_call_ms: float | None = Field(None, description="median over processes; with compile, code may be cached")
    second_call_ms: float | None = Field(None, description="the call after it, median over processes")
    compile_ms: float | None = Field(
        None,
        description="first minus second call in the row's first process, compiler cache empty; None: eager",
    )
    energy_j_per_clip: float | None = Field(None, description="median over processes; None: no meter on this machine")
    energy_source: str | None = None
    ratio: float | None = Field(None, description="time over that of the baseline")
    ratio_low: float | None = Field(None, description="95 % interval; None for a single process")
    ratio_high: float | None = None
    significant: bool = False
    num_processes: int = Field(0, description="processes that its numbers come from")
    num_blocks: int = Field(0, description="blocks that held the row")
    num_set_aside: int = Field(0, description="of these, not counted: the machine was not quiet")
    marks: list[str] = Field(default_factory=list, description="what makes the numbers doubtful")


def row_result(
    label: str, baseline: str, runs: Sequence[ProcessRun], options: BenchOptions, best_ms: float | None = None
) -> RowResult:
    """Return the statistics of one row, from the quiet blocks of its processes if there are enough."""
    held = [run for run in runs if label in run.rows]
    good = [run for run in held if run.is_done]
    if not good:
        worst = held[0].answer
        return RowResult(label=label, status=worst.status, message=worst.message)
    chosen = choose_runs(good, best_ms, options.num_processes)
    samples = [value for blocks in chosen.processes for block in blocks for value in block[label]]
    low, middle, high, p95 = np.percentile(samples, [25, 50, 75, 95])
    ratio = None if label == baseline else ratio_of(chosen.processes, label, baseline)
    return RowResult(
        label=label,
        status="done",
        median_ms=float(middle),
        iqr_ms=float(high - low),
        p95_ms=float(p95),
        **_first_calls(label, held, options.compile is not None),
        **_energy(label, good),
        ratio=ratio and ratio.ratio,
        ratio_low=ratio and ratio.low,
        ratio_high=ratio and ratio.high,
        significant=ratio is not None and ratio.is_significant,
        num_processes=len(chosen.runs),
        num_blocks=chosen.num_blocks,
        num_set_aside=chosen.num_set_aside,
        marks=_marks(held, chosen, options.num_processes, float(high - low) / float(middle)),
    )


def _first_calls(label: str, held: Sequence[ProcessRun], compiled: bool) -> dict[str, float | None]:
    """First and second calls. Only the first process of a row starts with an empty compiler cache."""
    pairs = {run.repeat: run.answer.values["first_calls_ms"][label] for run in held if run.answer.status == "done"}
    first, second = np.median(list(pairs.values()), axis=0)
    cold = pairs.get(held[0].repeat) if compiled else None
    return {"first_call_ms": first, "second_call_ms": second, "compile_ms": cold and cold[0] - cold[1]}


def _energy(label: str, good: Sequence[ProcessRun]) -> dict[str, Any]:
    found = [run.answer.values["energy"][label] for run in good]
    joules = [value for value, _ in found if value is not None]
    return {
        "energy_j_per_clip": float(np.median(joules)) if joules else None,
        "energy_source": next((source for _, source in found if source is not None), None),
    }


def _marks(held: Sequence[ProcessRun], chosen: CountedRuns, num_asked: int, spread: float) -> list[str]:
    faults = [found for run in chosen.runs if (found := run.answer.values["preflight"]["dirty"])]
    marks = [f"dirty in {len(faults)} of {len(chosen.runs)} processes: {faults[0][0]}"] if faults else []
    if not chosen.was_quiet:
        marks.append(
            "never quiet: in all processes but one at most, the machine was slower than at its best in this or earlier "
            f"comparisons ({MACHINE_BEST_FILE} in the folder of the samples); every block counts"
        )
    elif len(chosen.runs) < num_asked:
        marks.append(f"{len(chosen.runs)} of the {num_asked} requested processes ran on a quiet machine")
    if spread > UNSTABLE_SPREAD:
        marks.append(f"unstable: the interquartile range is {spread:.0%} of the median; the ratio is of paired blocks")
    lost = [run for run in held if not run.is_done]
    if lost:
        marks.append(f"{len(lost)} of {len(held)} processes gave no numbers: {lost[0].answer.status}")
    return marks
