"""Ratio of two interleaved timings over independent processes, and whether the machine was quiet meanwhile."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.stats.intervals import mean_interval

#: the noise probe may take this much longer than at the machine's best; for `bench` and for reports
QUIET_FACTOR = 1.10
#: row -> samples of one block of one process
TimedBlock = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class TimeRatio:
    """Time of a row over that of the baseline; `low` and `high` are None for a single process."""

    ratio: float
    low: float | None
    high: float | None
    num_processes: int

    @property
    def is_significant(self) -> bool:
        """Return whether the interval excludes 1; a single process has no interval, so nothing is significant."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def process_log_ratio(blocks: Sequence[TimedBlock], row: str, baseline: str) -> float:
    """Return the logarithm of the ratio in one process: the median over its blocks of the ratio of medians."""
    ratios = [math.log(float(np.median(block[row])) / float(np.median(block[baseline]))) for block in blocks]
    return float(np.median(ratios))


def ratio_of(processes: Sequence[Sequence[TimedBlock]], row: str, baseline: str, confidence: float = 0.95) -> TimeRatio:
    """Return the geometric mean over processes, with the t interval of its logarithm.

    The process is the unit of replication: samples of one process share its memory layout and its neighbours, so
    their number says nothing about the spread between processes.
    """
    logs = [process_log_ratio(blocks, row, baseline) for blocks in processes]
    found = mean_interval(logs, confidence)
    low = None if found.low is None else math.exp(found.low)
    high = None if found.high is None else math.exp(found.high)
    return TimeRatio(math.exp(found.mean), low, high, len(logs))


def best_of(times_ms: Sequence[float], known_ms: float | None = None) -> float | None:
    """Return the time at the machine's best: the 5th percentile of these, or an earlier value if that is smaller."""
    found = [float(np.percentile(times_ms, 5))] if times_ms else []
    return min([*found, *([] if known_ms is None else [known_ms])], default=None)


def is_quiet(probe_ms: float, best_ms: float) -> bool:
    """Return whether the machine was as fast as at its best, by the time of the noise probe."""
    return probe_ms <= QUIET_FACTOR * best_ms
