"""Timing against sleeps of known length."""

from __future__ import annotations

import time

import numpy as np
import pytest

from harness.measure.time.latency import time_call


def test_a_sleep_is_measured_with_all_samples() -> None:
    timing = time_call(lambda: time.sleep(0.003), batch_size=4, min_samples=20, max_seconds=0.5)
    assert len(timing.samples_ms) >= 20
    assert min(timing.samples_ms) >= 3
    assert timing.median_ms == pytest.approx(float(np.median(timing.samples_ms)))
    assert timing.median_low_ms <= timing.median_ms <= timing.median_high_ms
    assert timing.batch_size == 4


def test_the_first_calls_are_not_among_the_samples() -> None:
    calls: list[int] = []

    def slow_at_first() -> None:
        calls.append(1)
        time.sleep(0.2 if len(calls) == 1 else 0.001)

    timing = time_call(slow_at_first, batch_size=1, min_samples=10, max_seconds=0.3)
    assert max(timing.samples_ms) < 150
    assert len(calls) > len(timing.samples_ms)


def test_a_drifting_call_is_marked_unstable() -> None:
    calls: list[int] = []

    def slower_and_slower() -> None:
        calls.append(1)
        time.sleep(0.0005 * len(calls))

    assert time_call(slower_and_slower, batch_size=1, min_samples=30, max_seconds=0.2).unstable


def test_the_time_limit_holds_for_slow_calls() -> None:
    begin = time.perf_counter()
    timing = time_call(lambda: time.sleep(0.1), batch_size=1, min_samples=1000, max_seconds=0.5)
    assert 3 <= len(timing.samples_ms) < 30
    assert time.perf_counter() - begin < 3
