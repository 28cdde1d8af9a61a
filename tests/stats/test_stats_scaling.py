"""Exponents and crossings against numbers known in advance and against scipy's own regression."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from harness.stats.scaling import crossings, first_size, fit_power

SIZES = [2, 4, 8, 16, 32]


def test_a_power_law_is_found_exactly() -> None:
    fit = fit_power(SIZES, [3 * size**1.7 for size in SIZES])
    assert fit.exponent == pytest.approx(1.7)
    assert fit.coefficient == pytest.approx(3)
    assert (fit.low, fit.high) == (pytest.approx(1.7), pytest.approx(1.7))
    assert fit.local == pytest.approx([1.7] * 4)


def test_exponent_and_interval_are_those_of_the_regression() -> None:
    costs = [5.1, 9.2, 22.0, 37.0, 90.0]
    fit = fit_power(SIZES, costs)
    known = stats.linregress([math.log(size) for size in SIZES], [math.log(cost) for cost in costs])
    half = stats.t.ppf(0.975, len(SIZES) - 2) * known.stderr
    assert fit.exponent == pytest.approx(known.slope)
    assert fit.low == pytest.approx(known.slope - half)
    assert fit.high == pytest.approx(known.slope + half)


def test_a_sum_of_powers_shows_in_the_local_exponents() -> None:
    fit = fit_power(SIZES, [100 * size + size**2 for size in SIZES])
    assert list(fit.local) == sorted(fit.local)
    assert 1 < fit.local[0] < fit.local[-1] < 2


def test_two_points_have_no_interval() -> None:
    fit = fit_power([1, 2], [3, 12])
    assert (fit.exponent, fit.low, fit.high) == (pytest.approx(2), None, None)


@pytest.mark.parametrize(
    ("sizes", "costs"),
    [([4], [1]), ([4, 2], [1, 2]), ([2, 2], [1, 2]), ([2, 4], [0, 1]), ([2, 4], [1, math.nan]), ([1, 2], [1])],
)
def test_what_has_no_exponent_is_refused(sizes: list[float], costs: list[float]) -> None:
    with pytest.raises(ValueError, match=r"exponent|above 0"):
        fit_power(sizes, costs)


def test_power_laws_cross_where_they_are_equal() -> None:
    (found,) = crossings(SIZES, [12 * size for size in SIZES], [size**2 for size in SIZES])
    assert found.at == pytest.approx(12)
    assert (found.low, found.high, found.first_is_cheaper_after) == (8, 16, True)


def test_equal_costs_do_not_cross_but_may_be_passed_through() -> None:
    assert crossings(SIZES, SIZES, SIZES) == []
    assert crossings([1, 2, 4], [1, 2, 3], [2, 2, 4]) == []
    (found,) = crossings([1, 2, 4], [1, 2, 5], [2, 2, 4])
    assert (found.low, found.high, found.first_is_cheaper_after) == (1, 4, False)


@pytest.mark.parametrize("change", range(6, 31, 4))
def test_the_first_size_is_found_by_bisection(change: int) -> None:
    assert first_size(2, 30, 4, lambda size: size >= change) == change
