"""Whether a machine was at its best, from the times of a fixed piece of work done again and again.

The same factor holds for the blocks of a comparison (`harness.bench`) and for the trials of a report; the best
is the 5th percentile of many looks there, the least of a run's few medians here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

QUIET_FACTOR = 1.10  # over the time at the machine's best


def best_of(times_ms: Sequence[float], known_ms: float | None = None) -> float | None:
    """The time at the machine's best: the 5th percentile of these, or what is known from before if that is less."""
    found = [float(np.percentile(times_ms, 5))] if times_ms else []
    return min([*found, *([] if known_ms is None else [known_ms])], default=None)


def is_quiet(reference_ms: float, best_ms: float) -> bool:
    """Whether the machine was as good as at its best."""
    return reference_ms <= QUIET_FACTOR * best_ms
