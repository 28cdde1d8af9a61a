"""Compares rows in time: interleaved blocks, several fresh processes, ratios with intervals."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from harness.bench.bisection import best_batch
from harness.bench.quiet_blocks import Chosen, ProcessRun, best_reference, choose, num_settled
from harness.errors import UserError
from harness.measure.isolated.fresh_process import ask
from harness.measure.isolated.request import Answer, Mode, Request
from harness.measure.time.latency import UNSTABLE_SPREAD
from harness.measure.time.noise_probe import Patience
from harness.record import RecordModel
from harness.stats.ratios import ratio_of

BEST_KNOWN_FILE = "machine.json"
MAX_PROCESSES_FACTOR = 3  # times those asked for, where the machine is not quiet
MAX_ROWS_PER_PROCESS = 4  # the baseline among them: models that lie beside each other share memory and caches

Say = Callable[[str], None]


class BenchOptions(RecordModel):
    """How rows are compared."""

    mode: Mode = "inference"
    batch_size: int | None = None
    num_processes: int = 5
    num_blocks: int = 10
    visit_seconds: float = 0.05
    compile: str | None = None
    seed: int = 0
    timeout_s: float = 600.0
    patience_s: float = Field(60.0, description="waited in all for quiet moments to start a process in")
    variant_dirs: list[str] = Field(default_factory=list)

    def request(self, configs: Mapping[str, Mapping[str, Any]], repeat: int, compile_cache: str) -> Request:
        """What one process is asked."""
        shared = self.model_dump(
            include={"mode", "batch_size", "num_blocks", "visit_seconds", "compile", "variant_dirs"}
        )
        plain = {label: dict(config) for label, config in configs.items()}
        return Request(
            kind="compare", configs=plain, seed=self.seed + repeat, compile_cache=compile_cache, **shared
        )  # fmt: skip


class RowResult(RecordModel):
    """One row beside the baseline. Times are milliseconds of a call; None where no process answered."""

    label: str
    status: str
    message: str = ""
    median_ms: float | None = None
    iqr_ms: float | None = None
    p95_ms: float | None = None
    first_call_ms: float | None = Field(None, description="median over processes; with compile, code may be cached")
    second_call_ms: float | None = Field(None, description="the call after it, median over processes")
    compile_ms: float | None = Field(
        None, description="first less second call in the row's first process, the compiler's cache empty; None: eager"
    )
    energy_j_per_clip: float | None = Field(None, description="median over processes; None: no meter here")
    energy_source: str | None = None
    ratio: float | None = Field(None, description="time over that of the baseline")
    ratio_low: float | None = Field(None, description="95 % interval; None for a single process")
    ratio_high: float | None = None
    significant: bool = False
    num_processes: int = Field(0, description="processes that its numbers come from")
    num_blocks: int = Field(0, description="blocks that held the row")
    num_set_aside: int = Field(0, description="of these, not counted: the machine was not at its best")
    marks: list[str] = Field(default_factory=list, description="what makes the numbers doubtful")


class BestBatchResult(RecordModel):
    """The batch size of a row's highest throughput, and every probe by batch size; the last says what ended it."""

    label: str
    batch_size: int | None
    clips_per_s: float | None
    probes: dict[int, Answer]


class BenchResult(RecordModel):
    """A comparison with everything that it was computed from."""

    baseline: str
    options: BenchOptions
    rows: list[RowResult]
    runs: list[ProcessRun]
    environment: dict[str, Any] = Field(default_factory=dict)
    best_reference_ms: float | None = Field(None, description="the reference work at the machine's best; None on a GPU")
    best_batches: list[BestBatchResult] = Field(default_factory=list)


def compare(
    configs: Mapping[str, Mapping[str, Any]], baseline: str, options: BenchOptions, say: Say = lambda line: None,
    known_best_ms: float | None = None,
) -> BenchResult:  # fmt: skip
    """Compares all rows with the baseline. A set of rows whose process fails is a result, not the end.

    On a CPU, blocks count only where the reference work beside them was near the machine's best: in this comparison,
    or before it (`known_best_ms`). Processes begin when the machine is quiet, for which they wait a while; those
    without enough good blocks are started again, up to three times as many.

    Raises:
        UserError: rows of different devices or threads, which one process cannot hold.
    """
    _check_conditions(configs, baseline)
    if configs[baseline]["train"]["device"] != "cpu":
        known_best_ms = None  # the reference work is not done there
    sets = list(row_sets([label for label in configs if label != baseline], baseline))
    runs: list[ProcessRun] = []
    patience = Patience(options.patience_s)
    with tempfile.TemporaryDirectory() as compile_cache:  # empty: the first process of a row compiles all of it
        most = MAX_PROCESSES_FACTOR if len(configs) > 1 else 1  # without a ratio nothing is gained by starting again
        for repeat in range(most * options.num_processes):
            for rows in sets:  # repeats outermost: a slow spell of the machine meets every set
                best = best_reference(runs, known_best_ms)
                if repeat >= options.num_processes and _settled(runs, rows, best) >= options.num_processes:
                    continue
                patience.wait(best, configs[baseline]["train"]["num_threads"])
                request = options.request({row: configs[row] for row in rows}, repeat, compile_cache)
                answer = ask(request, timeout_s=options.timeout_s)
                runs.append(ProcessRun(repeat=repeat, rows=rows, answer=answer))
                say(_process_line(runs, rows, options, best_reference(runs, known_best_ms)))
    best = best_reference(runs, known_best_ms)
    results = [row_result(label, baseline, runs, options, best) for label in configs]
    for row in results:
        row.marks += _precision_mark(configs, row.label, baseline)
    return BenchResult(baseline=baseline, options=options, rows=results, runs=runs, best_reference_ms=best)


def _settled(runs: Sequence[ProcessRun], rows: Sequence[str], best_ms: float | None) -> int:
    return num_settled((run for run in runs if run.rows == rows), best_ms)


def _process_line(runs: Sequence[ProcessRun], rows: list[str], options: BenchOptions, best_ms: float | None) -> str:
    """What the last process came to."""
    answer = runs[-1].answer
    beside = "" if rows == runs[0].rows and len(rows) < MAX_ROWS_PER_PROCESS else f" ({', '.join(rows[1:])})"
    said = f"process {len(runs)}{beside}: {answer.status} {answer.message}".rstrip()
    if not runs[-1].is_done or runs[-1].quiet_blocks(best_ms):
        return said
    settled = _settled(runs, rows, best_ms)
    return f"{said}, but the machine was not quiet (quiet so far: {settled} of {options.num_processes})"


def _check_conditions(configs: Mapping[str, Mapping[str, Any]], baseline: str) -> None:
    for field in ("device", "num_threads"):
        ours = configs[baseline]["train"][field]
        others = {label: c["train"][field] for label, c in configs.items() if c["train"][field] != ours}
        if others:
            given = "; ".join(f"{label}: {value}" for label, value in others.items())
            raise UserError(
                f"train.{field}: {baseline} has {ours}, but {given}. Rows of different {field} do not share a "
                "comparison: choose with --rows, or make them equal with --set."
            )


def _precision_mark(configs: Mapping[str, Mapping[str, Any]], label: str, baseline: str) -> list[str]:
    ours, theirs = (configs[row]["train"]["precision"] for row in (label, baseline))
    return [] if ours == theirs else [f"{ours} against {theirs} of {baseline}"]


def find_best_batch(label: str, config: Mapping[str, Any], options: BenchOptions) -> BestBatchResult:
    """Probes growing batches of one row, each in its own process."""

    def probe(size: int) -> Answer:
        request = Request(
            kind="time", configs={label: dict(config)}, mode=options.mode, batch_size=size, compile=options.compile,
            min_samples=10, max_seconds=1.0, variant_dirs=options.variant_dirs,
        )  # fmt: skip
        return ask(request, timeout_s=options.timeout_s)

    found = best_batch(probe)
    return BestBatchResult(label=label, batch_size=found.batch_size, clips_per_s=found.clips_per_s, probes=found.probes)


def row_sets(others: Sequence[str], baseline: str) -> Iterator[list[str]]:
    """The baseline with a few others at a time."""
    step = MAX_ROWS_PER_PROCESS - 1
    for first in range(0, max(len(others), 1), step):
        yield [baseline, *others[first : first + step]]


def row_result(
    label: str, baseline: str, runs: Sequence[ProcessRun], options: BenchOptions, best_ms: float | None = None
) -> RowResult:
    """Statistics of one row over the processes that held it, from their quiet blocks if there are enough."""
    held = [run for run in runs if label in run.rows]
    good = [run for run in held if run.is_done]
    if not good:
        worst = held[0].answer
        return RowResult(label=label, status=worst.status, message=worst.message)
    chosen = choose(good, best_ms, options.num_processes)
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
    """Only the first process that held the row met an empty cache: the later ones found its code there."""
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


def _marks(held: Sequence[ProcessRun], chosen: Chosen, num_asked: int, spread: float) -> list[str]:
    faults = [found for run in chosen.runs if (found := run.answer.values["preflight"]["dirty"])]
    marks = [f"dirty in {len(faults)} of {len(chosen.runs)} processes: {faults[0][0]}"] if faults else []
    if not chosen.was_quiet:
        marks.append(
            "never quiet: in all processes but one at most, the machine was below its best, here or in earlier "
            f"comparisons ({BEST_KNOWN_FILE} beside the samples); every block counts"
        )
    elif len(chosen.runs) < num_asked:
        marks.append(f"{len(chosen.runs)} of the {num_asked} processes asked for met a quiet machine")
    if spread > UNSTABLE_SPREAD:
        marks.append(f"unstable: the interquartile range is {spread:.0%} of the median; the ratio is of paired blocks")
    lost = [run for run in held if not run.is_done]
    if lost:
        marks.append(f"{len(lost)} of {len(held)} processes gave no answer: {lost[0].answer.status}")
    return marks
