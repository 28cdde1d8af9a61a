"""Pareto fronts against the definition, by brute force."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.pareto import clearly_dominated, pareto_front

GRID = st.integers(0, 6).map(float)  # coarse: many ties
POINTS = st.lists(st.tuples(GRID, GRID), max_size=12)


def dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@given(POINTS)
def test_front_is_the_set_of_points_that_nothing_dominates(points: list[tuple[float, float]]) -> None:
    front = pareto_front([p[0] for p in points], [p[1] for p in points])
    expected = {i for i, p in enumerate(points) if not any(dominates(q, p) for q in points)}
    assert set(front) == expected
    assert len(front) == len(expected)
    assert [points[i][0] for i in front] == sorted(points[i][0] for i in front)


@given(st.lists(st.tuples(GRID, GRID, st.integers(0, 3).map(float)), max_size=10))
def test_clear_domination_is_stricter_than_domination(points: list[tuple[float, float, float]]) -> None:
    costs = [cost for cost, _, _ in points]
    clear = clearly_dominated(costs, [a - half for _, a, half in points], [a + half for _, a, half in points])
    front = pareto_front(costs, [a for _, a, _ in points])
    assert not any(clear[index] for index in front)
    for (cost, a, half), is_clear in zip(points, clear, strict=True):
        assert is_clear == any(c <= cost and b - h > a + half for c, b, h in points)


def test_a_point_without_an_interval_is_never_clear() -> None:
    assert clearly_dominated([1, 2, 2], [0.9, None, 0.1], [1.0, None, 0.2]) == [False, False, True]
    assert clearly_dominated([1, 2], [None, 0.1], [None, 0.2]) == [False, False]


def test_touching_intervals_are_not_clear() -> None:
    assert clearly_dominated([1, 2], [0.5, 0.4], [0.6, 0.5]) == [False, False]


def test_points_must_be_complete_numbers() -> None:
    with pytest.raises(ValueError, match="2 costs and 1 accuracies"):
        pareto_front([1, 2], [0.5])
    with pytest.raises(ValueError, match="number"):
        pareto_front([float("nan")], [0.5])
