"""The searches against functions whose answer is known."""

from __future__ import annotations

import pytest

from harness.bench.bisection import best_batch, largest_that_fits
from harness.measure.isolated.request import MeasurementAnswer

OOM = MeasurementAnswer(status="oom", message="refused", requested_bytes=1)


def cost(value: int) -> MeasurementAnswer:
    return MeasurementAnswer(status="done", values={"cost": value})


@pytest.mark.parametrize("limit", range(0, 70, 3))
@pytest.mark.parametrize("start", [2, 8, 60])
def test_the_largest_value_is_found_from_any_start(limit: int, start: int) -> None:
    found = largest_that_fits(
        cost, lambda answer: answer.values["cost"] <= limit, start=start, step=2, least=2, most=1000
    )
    assert found.largest == (limit // 2 * 2 or None)
    assert found.bounded
    assert len(found.probes) < 14


@pytest.mark.parametrize("limit", [1, 5, 31])
def test_a_probe_that_dies_bounds_the_search_and_is_kept(limit: int) -> None:
    found = largest_that_fits(
        lambda value: cost(value) if value <= limit else OOM, lambda answer: True, start=1, step=1, least=1, most=99
    )
    assert found.largest == limit
    assert found.probes[limit + 1] == OOM


def test_a_search_that_meets_no_limit_says_so() -> None:
    found = largest_that_fits(cost, lambda answer: True, start=3, step=1, least=0, most=50)
    assert (found.largest, found.bounded) == (50, False)


def test_zero_is_a_value() -> None:
    found = largest_that_fits(cost, lambda answer: answer.values["cost"] < 1, start=4, step=1, least=0, most=50)
    assert found.largest == 0


def test_the_best_batch_is_where_throughput_peaks() -> None:
    def probe(size: int) -> MeasurementAnswer:
        return MeasurementAnswer(status="done", values={"median_ms": 10 + size + (size / 16) ** 4})

    found = best_batch(probe)
    rates = {size: 1e3 * size / probe(size).values["median_ms"] for size in (2**power for power in range(10))}
    assert found.batch_size == max(rates, key=lambda size: rates[size])
    assert found.clips_per_s == pytest.approx(max(rates.values()))


def test_out_of_memory_ends_the_search_for_a_batch() -> None:
    found = best_batch(lambda size: MeasurementAnswer(status="done", values={"median_ms": 10}) if size < 8 else OOM)
    assert found.batch_size == 4
    assert found.probes[8].status == "oom"
