"""Paired tests against brute force, scipy's permutation test and false-positive rates."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.stats.paired import holm, least_pairs, least_reachable_p, paired_difference, sign_flip_p

COUNTS = st.integers(-50, 50)  # differences of correct answers: exact in floating point after division by a power of 2


def brute_force_p(differences: list[int]) -> float:
    observed = abs(sum(differences))
    patterns = product((1, -1), repeat=len(differences))
    sums = [sum(sign * one for sign, one in zip(signs, differences, strict=True)) for signs in patterns]
    return sum(abs(total) >= observed for total in sums) / len(sums)


@given(st.lists(COUNTS, min_size=1, max_size=9))
def test_sign_flip_p_is_brute_force(differences: list[int]) -> None:
    assert sign_flip_p([d / 2000 for d in differences]) == pytest.approx(brute_force_p(differences), abs=1e-12)


def test_sign_flip_p_is_the_permutation_test_of_scipy() -> None:
    differences = np.random.default_rng(3).normal(0.3, 1, size=8)
    oracle = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert sign_flip_p(differences.tolist()) == pytest.approx(oracle.pvalue, abs=1e-12)


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=12))
def test_least_p_is_reached_exactly_when_all_signs_agree(differences: list[float]) -> None:
    assert sign_flip_p(differences) == least_reachable_p(len(differences)) == 2 / 2 ** len(differences)


@given(st.lists(COUNTS, min_size=1, max_size=9))
def test_p_is_never_below_the_least_reachable(differences: list[int]) -> None:
    assert least_reachable_p(len(differences)) <= sign_flip_p([float(d) for d in differences]) <= 1


def test_three_seeds_are_never_significant() -> None:
    found = paired_difference({0: 0.9, 1: 0.91, 2: 0.92}, {0: 0.1, 1: 0.1, 2: 0.1})
    assert found is not None
    assert found.p_value == found.least_p == 0.25


def test_random_flips_agree_with_the_exact_test_where_both_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(1).normal(0.5, 1, size=14).tolist()
    exact = sign_flip_p(differences)
    monkeypatch.setattr("harness.stats.paired.MAX_EXACT_PAIRS", 5)
    assert sign_flip_p(differences) == pytest.approx(exact, abs=0.006)


def test_twenty_one_equal_signs_keep_a_valid_p() -> None:
    assert sign_flip_p([1.0] * 21) >= least_reachable_p(21) > 0


def test_differences_use_common_seeds_only() -> None:
    found = paired_difference({0: 0.5, 1: 0.75, 7: 0.0}, {1: 0.5, 0: 0.5, 3: 1.0})
    assert found is not None
    assert found.num_pairs == 2
    assert found.estimate.mean == pytest.approx(0.125)
    assert paired_difference({0: 0.5}, {1: 0.5}) is None


def test_a_row_against_itself_is_no_difference() -> None:
    row = {seed: 0.1 * seed for seed in range(4)}
    found = paired_difference(row, row)
    assert found is not None
    assert (found.estimate.mean, found.p_value) == (0.0, 1.0)


def test_false_positive_rate_is_held_at_the_level() -> None:
    generator = np.random.default_rng(5)
    p_values = [sign_flip_p(row) for row in generator.normal(size=(2000, 7))]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.06


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_the_stepdown_procedure_rejects(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(raw <= new <= 1 for raw, new in zip(p_values, adjusted, strict=True))
    level, rejected = 0.05, set()
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if (len(p_values) - rank) * p_values[index] > level:
            break
        rejected.add(index)
    assert rejected == {index for index, new in enumerate(adjusted) if new <= level}


@pytest.mark.parametrize(("num_comparisons", "pairs"), [(1, 6), (4, 8), (11, 9)])
def test_least_pairs_is_the_first_number_that_can_be_significant(num_comparisons: int, pairs: int) -> None:
    assert least_pairs(0.05, num_comparisons) == pairs
    assert num_comparisons * least_reachable_p(pairs) <= 0.05 < num_comparisons * least_reachable_p(pairs - 1)
