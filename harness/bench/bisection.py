"""Searches that probe values: the largest one within a budget, and the batch size of the highest throughput."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.measure.isolated.request import MeasurementAnswer


@dataclass
class LargestFit:
    """The largest value that fits (None: not even the smallest) and every probe, by value.

    `bounded` is False if the search stopped at its own limit: a larger value may fit.
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
) -> LargestFit:
    """Double from `start` until a value does not fit, then bisect; all values are multiples of `step`.

    Assumes that no larger value fits either. A probe that failed (out of memory, timeout, bad combination) does not
    fit.
    """
    found = LargestFit()

    def works(units: int) -> bool:
        value = units * step
        if value not in found.probes:
            found.probes[value] = probe(value)
        return found.probes[value].status == "done" and fits(found.probes[value])

    low, top = -(-least // step), most // step  # smallest and largest value, in steps
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
    """Double the batch from 1 until a probe fails or throughput has not grown for two doublings.

    The `values` of a probe hold `median_ms`.
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
