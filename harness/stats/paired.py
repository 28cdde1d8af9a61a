"""Paired comparison of two rows over the seeds that both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.stats.intervals import Estimate, mean_interval

MAX_EXACT_PAIRS = 20
_NUM_RANDOM_FLIPS = 100_000
_FLIP_CHUNK = 10_000
_TOLERANCE = 1e-9  # relative; sums that differ only by rounding count as equal


@dataclass(frozen=True)
class PairedDifference:
    """Mean of (row - baseline) over common seeds, with its t interval and two-sided sign-flip p."""

    estimate: Estimate
    p_value: float
    least_p: float

    @property
    def num_pairs(self) -> int:
        """Return the number of seeds that both rows have."""
        return self.estimate.num_samples


def paired_difference(row: Mapping[int, float], baseline: Mapping[int, float]) -> PairedDifference | None:
    """Compare two rows (seed -> value) over their common seeds, in the unit of the values; None for no seed."""
    differences = [row[seed] - baseline[seed] for seed in sorted(row.keys() & baseline.keys())]
    if not differences:
        return None
    p_value = sign_flip_p(differences)
    return PairedDifference(mean_interval(differences), p_value, least_reachable_p(len(differences)))


def sign_flip_p(differences: Sequence[float], *, seed: int = 0) -> float:
    """Return the two-sided p value of a mean of paired differences of 0, by flipping their signs.

    Exact (all 2^n sign patterns) for n <= 20. Above: 100,000 seeded random patterns and the observed one, which
    keeps the test valid (Phipson and Smyth, 2010).

    Raises:
        ValueError: no differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size == 0:
        raise ValueError("a paired test needs at least one pair")
    threshold = abs(values.sum()) - _TOLERANCE * float(np.abs(values).sum())
    if values.size <= MAX_EXACT_PAIRS:
        return float(np.mean(np.abs(_all_flipped_sums(values)) >= threshold))
    generator = np.random.default_rng(seed)
    extreme = 0
    for _ in range(_NUM_RANDOM_FLIPS // _FLIP_CHUNK):
        signs = generator.integers(0, 2, size=(_FLIP_CHUNK, values.size)) * 2 - 1
        extreme += int(np.count_nonzero(np.abs(signs @ values) >= threshold))
    return (extreme + 1) / (_NUM_RANDOM_FLIPS + 1)


def least_reachable_p(num_pairs: int) -> float:
    """Return the smallest p value of the sign-flip test with `num_pairs` pairs: 2 / 2^n, when all signs agree."""
    exact = 2.0 ** (1 - num_pairs)
    return exact if num_pairs <= MAX_EXACT_PAIRS else max(exact, 1 / (_NUM_RANDOM_FLIPS + 1))


def least_pairs(level: float, num_comparisons: int = 1) -> int:
    """Return the number of pairs from which the best of `num_comparisons` Holm-adjusted p values can reach `level`."""
    num_pairs = 1
    while num_comparisons * 2.0 ** (1 - num_pairs) > level:
        num_pairs += 1
    return num_pairs


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm-adjusted p values in the given order; they are monotone in the raw ones and at most 1."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def _all_flipped_sums(values: np.ndarray) -> np.ndarray:
    """Return the sums of all sign patterns with the first sign fixed; the others are their negatives. (2^(n-1),)."""
    sums = values[:1]
    for value in values[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return sums
