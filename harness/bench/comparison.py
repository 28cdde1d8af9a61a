"""Compares rows in time: interleaved blocks, several fresh processes, ratios with intervals."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import AliasChoices, Field

from harness.bench.bisection import best_batch
from harness.bench.options import BenchOptions
from harness.bench.quiet_blocks import ProcessRun, best_noise_probe, num_final
from harness.bench.row_result import RowResult, row_result
from harness.errors import UserError
from harness.measure.isolated.fresh_process import ask
from harness.measure.isolated.request import MeasurementAnswer, MeasurementRequest
from harness.measure.time.noise_probe import Patience
from harness.record import RecordModel

MAX_PROCESSES_FACTOR = 3  # times those asked for, where the machine is not quiet
MAX_ROWS_PER_PROCESS = 4  # the baseline among them: models in one process share memory and caches

Log = Callable[[str], None]


class BestBatchResult(RecordModel):
    """The batch size of a row's highest throughput, and every probe by batch size; the last one ended the search."""

    label: str
    batch_size: int | None
    clips_per_s: float | None
    probes: dict[int, MeasurementAnswer]


class BenchResult(RecordModel):
    """The results of a comparison, with all raw samples."""

    baseline: str
    options: BenchOptions
    rows: list[RowResult]
    runs: list[ProcessRun]
    environment: dict[str, Any] = Field(default_factory=dict)
    best_noise_probe_ms: float | None = Field(
        None,
        validation_alias=AliasChoices("best_noise_probe_ms", "best_reference_ms"),
        description="time of the noise probe at the machine's best; None on a GPU",
    )
    best_batches: list[BestBatchResult] = Field(default_factory=list)


def compare_rows(
    configs: Mapping[str, Mapping[str, Any]], baseline: str, options: BenchOptions, log: Log = lambda line: None,
    known_best_ms: float | None = None,
) -> BenchResult:  # fmt: skip
    """Compare all rows with the baseline. A process that fails becomes a result of its rows and ends nothing.

    On a CPU, a block counts only if its noise probes were close to the machine's best, in this comparison or in an
    earlier one (`known_best_ms`). A process starts when the machine is quiet or the patience is used up. A process
    without enough quiet blocks is repeated; at most three times the requested number of processes is started.

    Raises:
        UserError: rows of different devices or threads; one process cannot hold both.
    """
    _check_conditions(configs, baseline)
    if configs[baseline]["train"]["device"] != "cpu":
        known_best_ms = None  # no noise probe runs there
    sets = list(row_sets([label for label in configs if label != baseline], baseline))
    runs: list[ProcessRun] = []
    patience = Patience(options.patience_s)
    with tempfile.TemporaryDirectory() as compile_cache:  # empty: the first process of a row compiles everything
        most = MAX_PROCESSES_FACTOR if len(configs) > 1 else 1  # without a ratio there is no reason to repeat
        for repeat in range(most * options.num_processes):
            for rows in sets:  # repeats outermost: a slow phase of the machine affects every set
                best = best_noise_probe(runs, known_best_ms)
                if repeat >= options.num_processes and _num_final(runs, rows, best) >= options.num_processes:
                    continue
                patience.wait(best, configs[baseline]["train"]["num_threads"])
                request = options.request({row: configs[row] for row in rows}, repeat, compile_cache)
                answer = ask(request, timeout_s=options.timeout_s)
                runs.append(ProcessRun(repeat=repeat, rows=rows, answer=answer))
                log(_process_line(runs, rows, options, best_noise_probe(runs, known_best_ms)))
    best = best_noise_probe(runs, known_best_ms)
    results = [row_result(label, baseline, runs, options, best) for label in configs]
    for row in results:
        row.marks += _precision_mark(configs, row.label, baseline)
    return BenchResult(baseline=baseline, options=options, rows=results, runs=runs, best_noise_probe_ms=best)


def _num_final(runs: Sequence[ProcessRun], rows: Sequence[str], best_ms: float | None) -> int:
    return num_final((run for run in runs if run.rows == rows), best_ms)


def _process_line(runs: Sequence[ProcessRun], rows: list[str], options: BenchOptions, best_ms: float | None) -> str:
    """The log line of the last process."""
    answer = runs[-1].answer
    others = "" if rows == runs[0].rows and len(rows) < MAX_ROWS_PER_PROCESS else f" ({', '.join(rows[1:])})"
    text = f"process {len(runs)}{others}: {answer.status} {answer.message}".rstrip()
    if not runs[-1].is_done or runs[-1].quiet_blocks(best_ms):
        return text
    quiet = _num_final(runs, rows, best_ms)
    return f"{text}, but the machine was not quiet (quiet so far: {quiet} of {options.num_processes})"


def _check_conditions(configs: Mapping[str, Mapping[str, Any]], baseline: str) -> None:
    for field in ("device", "num_threads"):
        ours = configs[baseline]["train"][field]
        others = {label: c["train"][field] for label, c in configs.items() if c["train"][field] != ours}
        if others:
            given = "; ".join(f"{label}: {value}" for label, value in others.items())
            raise UserError(
                f"train.{field}: {baseline} has {ours}, but {given}. Rows of different {field} cannot be "
                "comparison: choose_runs with --rows, or make them equal with --set."
            )


def _precision_mark(configs: Mapping[str, Mapping[str, Any]], label: str, baseline: str) -> list[str]:
    ours, theirs = (configs[row]["train"]["precision"] for row in (label, baseline))
    return [] if ours == theirs else [f"{ours} against {theirs} of {baseline}"]


def find_best_batch(label: str, config: Mapping[str, Any], options: BenchOptions) -> BestBatchResult:
    """Find the batch size of the highest throughput of a row; each size is timed in its own process."""

    def probe(size: int) -> MeasurementAnswer:
        request = MeasurementRequest(
            kind="time", configs={label: dict(config)}, mode=options.mode, batch_size=size, compile=options.compile,
            min_samples=10, max_seconds=1.0, variant_dirs=options.variant_dirs,
        )  # fmt: skip
        return ask(request, timeout_s=options.timeout_s)

    found = best_batch(probe)
    return BestBatchResult(label=label, batch_size=found.batch_size, clips_per_s=found.clips_per_s, probes=found.probes)


def row_sets(others: Sequence[str], baseline: str) -> Iterator[list[str]]:
    """Yield sets of rows for one process: the baseline with a few others."""
    step = MAX_ROWS_PER_PROCESS - 1
    for first in range(0, max(len(others), 1), step):
        yield [baseline, *others[first : first + step]]
