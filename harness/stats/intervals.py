"""Intervals of a mean, a proportion and a median."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

_BOOTSTRAP_CHUNK = 1_000_000  # resampled values held in memory at once


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval, in the unit of the samples; `low` and `high` are None for a single sample."""

    mean: float
    low: float | None
    high: float | None
    num_samples: int

    @property
    def half_width(self) -> float | None:
        """Return half the width of the interval; None for a single sample."""
        return None if self.high is None else self.high - self.mean


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Return the mean of independent samples with its two-sided t interval, in the unit of the samples.

    A single sample has a mean and no interval.

    Raises:
        ValueError: no samples, a sample that is not finite, or a confidence outside (0, 1).
    """
    samples = _checked(values, confidence)
    mean = float(samples.mean())
    if samples.size == 1:
        return Estimate(mean, None, None, 1)
    quantile = float(special.stdtrit(samples.size - 1, (1 + confidence) / 2))
    half = quantile * float(samples.std(ddof=1)) / math.sqrt(samples.size)
    return Estimate(mean, mean - half, mean + half, int(samples.size))


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion, as fractions (low, high) within [0, 1].

    Raises:
        ValueError: unless 0 <= correct <= total, total >= 1 and confidence is in (0, 1).
    """
    if not (total >= 1 and 0 <= correct <= total):
        raise ValueError(f"{correct} of {total} is no proportion")
    _check_confidence(confidence)
    z = float(special.ndtri((1 + confidence) / 2))
    share, spread = correct / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    # The exact ends are 0 and 1; rounding must not exclude the proportion itself.
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == total else min(1.0, centre + half)
    return low, high


def bootstrap_median_interval(
    samples: Sequence[float], *, confidence: float = 0.95, num_resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval (low, high) of the median, in the unit of the samples.

    The same seed gives the same bits.

    Raises:
        ValueError: no samples, a sample that is not finite, or a confidence outside (0, 1).
    """
    values = _checked(samples, confidence)
    generator = np.random.default_rng(seed)
    rows = max(1, _BOOTSTRAP_CHUNK // values.size)
    medians: list[np.ndarray] = []
    for start in range(0, num_resamples, rows):
        shape = (min(rows, num_resamples - start), values.size)
        medians.append(np.median(values[generator.integers(values.size, size=shape)], axis=1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(medians), [tail, 1 - tail])
    return float(low), float(high)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")


def _checked(values: Sequence[float], confidence: float) -> np.ndarray:
    _check_confidence(confidence)
    samples = np.asarray(values, dtype=np.float64)
    if samples.ndim != 1 or samples.size == 0:
        raise ValueError("an interval needs at least one sample")
    if not np.isfinite(samples).all():
        raise ValueError("an interval needs finite samples")
    return samples
