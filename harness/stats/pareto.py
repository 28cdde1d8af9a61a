"""Pareto fronts of (cost, accuracy), without and with uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence


def pareto_front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Return the indices of the points that no other point dominates, by rising cost.

    A point dominates another if it costs no more and is no less accurate, and is better in one of the two. Equal
    points do not dominate each other: all of them stay.

    Raises:
        ValueError: lists of different length, or a value that is not a number.
    """
    _check(costs, accuracies)
    order = sorted(range(len(costs)), key=lambda index: (costs[index], -accuracies[index], index))
    front: list[int] = []
    best = (math.nan, -math.inf)
    for index in order:
        point = (costs[index], accuracies[index])
        if point[1] > best[1] or point == best:
            front.append(index)
            best = point
    return front


def clearly_dominated(
    costs: Sequence[float],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
    most: Sequence[float] | None = None,
) -> list[bool]:
    """Return for each point whether another one costs no more and has its whole accuracy interval above this one's.

    `costs` are exact, or the smallest measured values, with the largest ones in `most`: then the other's largest must
    not exceed this one's smallest. `lows` and `highs` are the ends of the accuracy intervals. A point without an
    interval (None) neither dominates clearly nor is clearly dominated.

    Raises:
        ValueError: lists of different length, or a cost that is not a number.
    """
    _check(costs, lows)
    _check(costs, highs)
    largest = costs if most is None else most
    return [
        high is not None
        and any(low is not None and other <= cost and low > high for other, low in zip(largest, lows, strict=True))
        for cost, high in zip(costs, highs, strict=True)
    ]


def _check(costs: Sequence[float], others: Sequence[float | None]) -> None:
    if len(costs) != len(others):
        raise ValueError(f"{len(costs)} costs and {len(others)} accuracies")
    if any(value is not None and math.isnan(value) for value in (*costs, *others)):
        raise ValueError("a point of a Pareto front must be a number")
