"""The answer of one process of a comparison, and its blocks that ran while the machine was quiet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.measure.isolated.request import MeasurementAnswer
from harness.measure.time.interleave import Visit
from harness.record import RecordModel
from harness.stats.ratios import best_of, is_quiet

MIN_QUIET_BLOCKS = 3  # a process with fewer is not quiet

#: samples in milliseconds, by row
BlockSamples = dict[str, list[float]]


class ProcessRun(RecordModel):
    """One process: its rows and its answer with all samples."""

    repeat: int
    rows: list[str]
    answer: MeasurementAnswer

    @property
    def is_done(self) -> bool:
        """True if the process gave numbers."""
        return self.answer.status == "done"

    @cached_property
    def visits(self) -> list[Visit]:
        """The visits in the order of time; empty if the process gave no numbers."""
        return [Visit(**visit) for visit in self.answer.values.get("visits", [])]

    def blocks(self) -> list[BlockSamples]:
        """Samples of each block; the two visits of a row are joined."""
        return [samples for samples, _ in self._blocks]

    def quiet_blocks(self, best_ms: float | None) -> list[BlockSamples]:
        """The blocks whose noise probes were close to the machine's best; empty if they are too few.

        `best_ms` None: the machine's best is unknown, and every block counts.
        """
        found = [
            samples for samples, probes_ms in self._blocks
            if best_ms is None or not probes_ms or is_quiet(float(np.median(probes_ms)), best_ms)
        ]  # fmt: skip
        return found if len(found) >= min(MIN_QUIET_BLOCKS, len(self._blocks)) else []

    @cached_property  # read again after every process of the comparison
    def _blocks(self) -> list[tuple[BlockSamples, list[float]]]:
        """Samples and times of the noise probe, by block."""
        found: dict[int, tuple[BlockSamples, list[float]]] = {}
        for visit in self.visits:
            samples, probes_ms = found.setdefault(visit.block, ({}, []))
            samples.setdefault(visit.row, []).extend(visit.samples_ms)
            probes_ms += [] if visit.noise_probe_ms is None else [visit.noise_probe_ms]
        return list(found.values())


def best_noise_probe(runs: Iterable[ProcessRun], known_ms: float | None = None) -> float | None:
    """Time of the noise probe at the machine's best, in milliseconds; None where it did not run (on a GPU)."""
    return best_of(_noise_probe_times(runs), known_ms)


def num_noise_probes(runs: Iterable[ProcessRun]) -> int:
    """Number of timed noise probes."""
    return len(_noise_probe_times(runs))


def _noise_probe_times(runs: Iterable[ProcessRun]) -> list[float]:
    return [visit.noise_probe_ms for run in runs for visit in run.visits if visit.noise_probe_ms is not None]


@dataclass(frozen=True)
class CountedRuns:
    """The processes of a comparison that count, the blocks of each, and how many of all blocks were set aside."""

    runs: list[ProcessRun]
    processes: list[list[BlockSamples]]
    num_set_aside: int
    num_blocks: int
    was_quiet: bool


def choose_runs(runs: Sequence[ProcessRun], best_ms: float | None, num_asked: int) -> CountedRuns:
    """Choose the processes with enough quiet blocks; all blocks count if fewer than two processes are left.

    `num_asked` is the requested number of processes; if it is one, one is enough.
    """
    done = [run for run in runs if run.is_done]
    quiet = [run for run in done if run.quiet_blocks(best_ms)]
    total = sum(len(run.blocks()) for run in done)
    if len(quiet) < min(2, num_asked):
        return CountedRuns(done, [run.blocks() for run in done], 0, total, was_quiet=False)
    counted = [run.quiet_blocks(best_ms) for run in quiet]
    return CountedRuns(quiet, counted, total - sum(map(len, counted)), total, was_quiet=True)


def num_final(runs: Iterable[ProcessRun], best_ms: float | None) -> int:
    """Number of processes that are not repeated: quiet ones, and those that gave no numbers."""
    return sum(not run.is_done or bool(run.quiet_blocks(best_ms)) for run in runs)
