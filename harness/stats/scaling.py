"""Growth of a cost with a size: fitted and local exponents, and crossings of two costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import special


@dataclass(frozen=True)
class PowerFit:
    """cost = coefficient * size ** exponent, by least squares on logarithms.

    `low`, `high`: t interval of the exponent, None for two points. For a cost without noise it measures the distance
    from a power law. `local`: the exponents between neighbouring sizes, in their order.
    """

    exponent: float
    low: float | None
    high: float | None
    coefficient: float
    local: tuple[float, ...]


@dataclass(frozen=True)
class Crossing:
    """Two costs change order between the sizes `low` and `high`; `at` interpolates their logarithms."""

    low: float
    high: float
    at: float
    first_is_cheaper_after: bool


@dataclass(frozen=True)
class CostSeries:
    """Costs of one configuration at increasing sizes; `marks` are warnings for a number, '' for none."""

    label: str
    sizes: tuple[int, ...]
    costs: tuple[float, ...]
    marks: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Return whether no number has a mark."""
        return not any(self.marks)

    @property
    def fit(self) -> PowerFit:
        """Return the power law through the points."""
        return fit_power(self.sizes, self.costs)


def fit_power(sizes: Sequence[float], costs: Sequence[float], confidence: float = 0.95) -> PowerFit:
    """Fit a power law to costs at increasing sizes.

    Raises:
        ValueError: fewer than two sizes, sizes that do not increase, or a size or cost that is not above 0.
    """
    x, y = _logarithms(sizes, costs)
    centred = x - x.mean()
    spread = float(centred @ centred)
    exponent = float(centred @ y) / spread
    offset = float(y.mean() - exponent * x.mean())
    local = tuple(float((y2 - y1) / (x2 - x1)) for (x1, y1), (x2, y2) in pairwise(zip(x, y, strict=True)))
    if len(x) == 2:
        return PowerFit(exponent, None, None, math.exp(offset), local)
    rest = y - offset - exponent * x
    error = math.sqrt(float(rest @ rest) / (len(x) - 2) / spread)
    half = float(special.stdtrit(len(x) - 2, (1 + confidence) / 2)) * error
    return PowerFit(exponent, exponent - half, exponent + half, math.exp(offset), local)


def _logarithms(sizes: Sequence[float], costs: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(sizes, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    if len(x) != len(y) or len(x) < 2 or not (np.diff(x) > 0).all():
        raise ValueError(f"an exponent needs two or more increasing sizes with a cost each, got {sizes} and {costs}")
    if not (x > 0).all() or not (y > 0).all() or not np.isfinite(y).all():
        raise ValueError("sizes and costs must be above 0 and finite: they are compared by their logarithms")
    return np.log(x), np.log(y)


def crossings(sizes: Sequence[float], first: Sequence[float], second: Sequence[float]) -> list[Crossing]:
    """Return where two costs at the same sizes change order. Equal costs are no change by themselves."""
    x, a = _logarithms(sizes, first)
    gap = a - _logarithms(sizes, second)[1]
    apart = [place for place in range(len(x)) if gap[place] != 0]
    found = []
    for i, j in pairwise(apart):
        if gap[i] * gap[j] < 0:
            # over equal costs in between, if there are any, the line passes through zero somewhere among them
            at = float(np.exp(x[i] + (x[j] - x[i]) * gap[i] / (gap[i] - gap[j])))
            found.append(Crossing(float(sizes[i]), float(sizes[j]), at, bool(gap[j] < 0)))
    return found


def first_size(low: int, high: int, step: int, holds: Callable[[int], bool]) -> int:
    """Return the smallest of low + step, low + 2 step, ... high at which `holds`; it does at `high` and not at `low`.

    By bisection: if `holds` changes more than once in between, one of the changes is found.
    """
    below, above = 0, (high - low) // step
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if holds(low + middle * step) else (middle, above)
    return low + above * step
