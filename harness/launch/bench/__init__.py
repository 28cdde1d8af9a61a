"""Comparisons of rows in time: fresh processes, interleaved blocks, and which of them count."""

from harness.launch.bench.best_known import BestKnown
from harness.launch.bench.comparison import (
    BEST_KNOWN_FILE,
    BenchOptions,
    BenchResult,
    BestBatchResult,
    RowResult,
    compare,
    find_best_batch,
)

__all__ = [
    "BEST_KNOWN_FILE",
    "BenchOptions",
    "BenchResult",
    "BestBatchResult",
    "BestKnown",
    "RowResult",
    "compare",
    "find_best_batch",
]
