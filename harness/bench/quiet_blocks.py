"""What one process of a comparison answered, and which of its blocks were made while the machine was quiet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.measure.isolated.request import MeasurementAnswer
from harness.measure.time.interleave import Visit
from harness.record import RecordModel
from harness.stats.ratios import best_of, is_quiet

MIN_QUIET_BLOCKS = 3  # a process with fewer does not count as quiet

#: samples by row
Block = dict[str, list[float]]


class ProcessRun(RecordModel):
    """One process: the rows it held and what it answered, all samples included."""

    repeat: int
    rows: list[str]
    answer: MeasurementAnswer

    @property
    def is_done(self) -> bool:
        """Whether it gave numbers."""
        return self.answer.status == "done"

    @cached_property
    def visits(self) -> list[Visit]:
        """Its visits in the order they were made; none if it gave no numbers."""
        return [Visit(**visit) for visit in self.answer.values.get("visits", [])]

    def blocks(self) -> list[Block]:
        """Samples of each block, its two visits of a row put together."""
        return [samples for samples, _ in self._blocks]

    def quiet_blocks(self, best_ms: float | None) -> list[Block]:
        """Those beside which the noise probe was near the machine's best; none at all if they are too few.

        `best_ms` None: nothing is known of the machine, every block counts.
        """
        found = [
            samples for samples, probes in self._blocks
            if best_ms is None or not probes or is_quiet(float(np.median(probes)), best_ms)
        ]  # fmt: skip
        return found if len(found) >= min(MIN_QUIET_BLOCKS, len(self._blocks)) else []

    @cached_property  # asked again after every process of the comparison
    def _blocks(self) -> list[tuple[Block, list[float]]]:
        """Samples and times of the noise probe, by block."""
        found: dict[int, tuple[Block, list[float]]] = {}
        for visit in self.visits:
            samples, probes = found.setdefault(visit.block, ({}, []))
            samples.setdefault(visit.row, []).extend(visit.samples_ms)
            probes += [] if visit.noise_probe_ms is None else [visit.noise_probe_ms]
        return list(found.values())


def best_probe(runs: Iterable[ProcessRun], known_ms: float | None = None) -> float | None:
    """Return milliseconds of the noise probe at the best of the machine; None where it did not run (on a GPU)."""
    return best_of(_probe_times(runs), known_ms)


def num_probes(runs: Iterable[ProcessRun]) -> int:
    """Return how often the noise probe was timed."""
    return len(_probe_times(runs))


def _probe_times(runs: Iterable[ProcessRun]) -> list[float]:
    return [visit.noise_probe_ms for run in runs for visit in run.visits if visit.noise_probe_ms is not None]


@dataclass(frozen=True)
class Chosen:
    """The processes of a comparison that count with the blocks of each; how many of all blocks were set aside."""

    runs: list[ProcessRun]
    processes: list[list[Block]]
    num_set_aside: int
    num_blocks: int
    was_quiet: bool


def choose(runs: Sequence[ProcessRun], best_ms: float | None, num_asked: int) -> Chosen:
    """The quiet blocks of the processes that had enough of them; all blocks if that leaves no two processes.

    `num_asked`: how many processes were asked for; where it was one, one is enough.
    """
    done = [run for run in runs if run.is_done]
    quiet = [run for run in done if run.quiet_blocks(best_ms)]
    total = sum(len(run.blocks()) for run in done)
    if len(quiet) < min(2, num_asked):
        return Chosen(done, [run.blocks() for run in done], 0, total, was_quiet=False)
    counted = [run.quiet_blocks(best_ms) for run in quiet]
    return Chosen(quiet, counted, total - sum(map(len, counted)), total, was_quiet=True)


def num_settled(runs: Iterable[ProcessRun], best_ms: float | None) -> int:
    """Processes that need not be started again: quiet ones, and those that gave no numbers."""
    return sum(not run.is_done or bool(run.quiet_blocks(best_ms)) for run in runs)
