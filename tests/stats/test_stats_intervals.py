"""Intervals against scipy.stats, closed forms and their own coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.stats.intervals import bootstrap_median_interval, mean_interval, wilson_interval

VALUES = st.floats(-1e3, 1e3, allow_nan=False)


@given(st.lists(VALUES, min_size=2, max_size=12), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_mean_interval_is_the_one_of_scipy(values: list[float], confidence: float) -> None:
    ours = mean_interval(values, confidence)
    assert ours.low is not None
    assert ours.high is not None
    error = stats.sem(values)
    if error == 0:
        assert ours.low == ours.mean == ours.high
        return
    low, high = stats.t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=error)
    np.testing.assert_allclose((ours.low, ours.high), (low, high), rtol=1e-9, atol=1e-9)


def test_one_sample_has_a_mean_and_no_interval() -> None:
    single = mean_interval([0.25])
    assert (single.mean, single.low, single.high, single.half_width, single.num_samples) == (0.25, None, None, None, 1)


def test_mean_interval_by_hand() -> None:
    # sd 1, n 3, t(2, .975) = 4.302653: half width 4.302653 / sqrt(3)
    assert mean_interval([1.0, 2.0, 3.0]).half_width == pytest.approx(2.484138, abs=1e-6)


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [float("inf")]])
def test_mean_interval_refuses_what_is_no_sample(values: list[float]) -> None:
    with pytest.raises(ValueError, match="an interval needs"):
        mean_interval(values)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_is_a_fraction(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        mean_interval([1.0, 2.0], confidence)
    with pytest.raises(ValueError, match="confidence"):
        wilson_interval(1, 2, confidence)


@given(st.integers(1, 500).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_wilson_interval_is_the_one_of_scipy(share: tuple[int, int]) -> None:
    correct, total = share
    low, high = wilson_interval(correct, total)
    oracle = stats.binomtest(correct, total).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose((low, high), (oracle.low, oracle.high), atol=1e-12)
    assert 0 <= low <= correct / total <= high <= 1


def test_wilson_interval_refuses_impossible_counts() -> None:
    for correct, total in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="no proportion"):
            wilson_interval(correct, total)


@given(st.lists(VALUES, min_size=1, max_size=30), st.integers(0, 5))
def test_bootstrap_interval_is_ordered_within_the_data_and_seeded(values: list[float], seed: int) -> None:
    low, high = bootstrap_median_interval(values, num_resamples=200, seed=seed)
    assert min(values) <= low <= high <= max(values)
    assert (low, high) == bootstrap_median_interval(values, num_resamples=200, seed=seed)


def test_bootstrap_interval_approaches_the_exact_order_statistics() -> None:
    # For odd n the bootstrap median is X_(k) with a binomial law: quantiles of the index are known without resampling.
    n = 101
    values = np.arange(n, dtype=float)
    at_most = np.array([stats.binom.sf(n // 2, n, (k + 1) / n) for k in range(n)])
    exact = (np.searchsorted(at_most, 0.025), np.searchsorted(at_most, 0.975))
    low, high = bootstrap_median_interval(values.tolist(), num_resamples=20_000)
    assert abs(low - exact[0]) <= 1
    assert abs(high - exact[1]) <= 1


def test_t_interval_covers_the_mean_at_its_confidence() -> None:
    generator = np.random.default_rng(0)
    samples = generator.normal(0.7, 0.02, size=(4000, 4))
    inside = [(e := mean_interval(row.tolist())).low <= 0.7 <= e.high for row in samples]  # type: ignore[operator]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)
