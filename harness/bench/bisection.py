"""Searches by probing: the largest value that still fits a budget, and the batch size of the highest throughput."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.measure.isolated.request import MeasurementAnswer


@dataclass
class Frontier:
    """The largest value that fits (None: not even the least) and every probe on the way, by value.

    `bounded` is False where the search stopped at its own limit: then more may fit.
    """

    largest: int | None = None
    bounded: bool = True
    probes: dict[int, MeasurementAnswer] = field(default_factory=dict)


def largest_that_fits(
    probe: Callable[[int], MeasurementAnswer],
    fits: Callable[[MeasurementAnswer], bool],
    *,
    start: int,
    step: int,
    least: int,
    most: int,
) -> Frontier:
    """Doubles from `start` until something does not fit, then halves the interval; all values are multiples of `step`.

    Assumes that what does not fit does not fit larger either; a probe that failed (out of memory, timeout, bad
    combination) does not fit.
    """
    found = Frontier()

    def works(units: int) -> bool:
        value = units * step
        if value not in found.probes:
            found.probes[value] = probe(value)
        return found.probes[value].status == "done" and fits(found.probes[value])

    low, top = -(-least // step), most // step  # the least and the most that may be tried, in steps
    good: int | None = None
    bad: int | None = None
    units = min(max(start // step, low), top)
    while bad is None and units <= top:
        if works(units):
            good = units
            if units == top:
                break
            units = min(max(2 * units, units + 1), top)
        else:
            bad = units
    while bad is not None and (good if good is not None else low - 1) + 1 < bad:
        middle = ((good if good is not None else low - 1) + bad) // 2
        good, bad = (middle, bad) if works(middle) else (good, middle)
    found.largest, found.bounded = None if good is None else good * step, bad is not None
    return found


@dataclass
class BestBatch:
    """The batch size with the most clips per second, and every probe by batch size."""

    batch_size: int | None
    clips_per_s: float | None
    probes: dict[int, MeasurementAnswer]


MAX_WORSE = 2  # doublings without a gain before the search ends


def best_batch(probe: Callable[[int], MeasurementAnswer], *, most: int = 4096) -> BestBatch:
    """Doubles the batch from 1 until a probe fails or throughput has not grown for two doublings.

    A probe's `values` hold `median_ms`.
    """
    found = BestBatch(None, None, {})
    size, worse = 1, 0
    while size <= most and worse < MAX_WORSE:
        answer = found.probes[size] = probe(size)
        if answer.status != "done":
            break
        rate = 1e3 * size / answer.values["median_ms"]
        if found.clips_per_s is None or rate > found.clips_per_s:
            found.batch_size, found.clips_per_s, worse = size, rate, 0
        else:
            worse += 1
        size *= 2
    return found
