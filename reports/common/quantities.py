"""The costs that reports show: name, how a record states it, how it is written, what must be marked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness import units
from harness.record import Record, Timing, Timings


def _clips_per_second(value: float | None) -> str:
    return "-" if value is None else units.count(value) if value >= 1000 else f"{value:.3g}"


def _no_marks(record: Record) -> tuple[str, ...]:
    return ()


def _macs_marks(record: Record) -> tuple[str, ...]:
    return (*_count_marks(record), *_masked_marks(record))


def _masked_marks(record: Record) -> tuple[str, ...]:
    macs = record.costs.macs
    if macs.useful_macs in (None, macs.macs_per_view):
        return ()
    return (f"executed work; without the pairs that a mask drops: {units.macs(macs.useful_macs)}",)


def _count_marks(record: Record) -> tuple[str, ...]:
    macs = record.costs.macs
    if macs.status == "lower_bound":
        uncounted = ", ".join(f"{name} ×{number}" for name, number in sorted(macs.uncounted_ops.items()))
        return (f"MACs are a lower bound: not counted: {uncounted or 'unknown operators'}",)
    if macs.status == "disagrees":
        other = "not available" if macs.flop_counter_macs is None else units.macs(macs.flop_counter_macs)
        closed = units.macs(macs.closed_form_macs)
        return (f"the MAC counts disagree: fvcore is shown; torch's counter: {other}; closed form: {closed}",)
    return ()


def _memory(name: str) -> Callable[[Record], float | None]:
    return lambda record: None if record.costs.memory is None else getattr(record.costs.memory, name)


def _timing(name: str, value: Callable[[Timing], float]) -> Callable[[Record], float | None]:
    return lambda record: None if record.costs.timings is None else value(getattr(record.costs.timings, name))


def dirty_faults(record: Record) -> list[str]:
    """What the preflight found wrong with the machine just before the trial was timed."""
    timings = record.costs.timings
    return [] if timings is None or timings.preflight is None else list(timings.preflight.get("dirty", []))


def _timing_marks(name: str) -> Callable[[Record], tuple[str, ...]]:
    def marks(record: Record) -> tuple[str, ...]:
        timings: Timings | None = record.costs.timings
        if timings is None:
            return ()
        timing: Timing = getattr(timings, name)
        unstable = ("unstable timing: spread above 5 % of the median, or a drift",) if timing.unstable else ()
        alone = () if timings.alone else ("other trials ran during the timing",)
        return (*unstable, *alone, *(f"dirty timing: {fault}" for fault in dirty_faults(record)))

    return marks


@dataclass(frozen=True)
class Quantity:
    """One cost. `measured` ones depend on the machine and are comparable on one machine only."""

    key: str
    header: str
    value: Callable[[Record], float | None]
    text: Callable[[float | None], str]
    marks: Callable[[Record], tuple[str, ...]] = _no_marks
    measured: bool = True


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("num_parameters", "parameters", lambda r: r.costs.num_parameters, units.count, measured=False),
    Quantity(
        "macs_per_view", "MACs / view", lambda r: r.costs.macs.macs_per_view, units.macs, _macs_marks, measured=False
    ),
    Quantity("train_peak_bytes", "peak memory, train step", _memory("train_step_peak_bytes"), units.num_bytes),
    Quantity("inference_peak_bytes", "peak memory, inference", _memory("inference_peak_bytes"), units.num_bytes),
    Quantity(
        "latency_ms", "latency", _timing("latency", lambda t: t.median_ms), units.milliseconds, _timing_marks("latency")
    ),
    Quantity(
        "throughput_clips_per_s",
        "throughput, clips/s",
        _timing("inference", lambda t: 1e3 * t.batch_size / t.median_ms),
        _clips_per_second,
        _timing_marks("inference"),
    ),
    Quantity(
        "train_step_ms",
        "train step",
        _timing("train_step", lambda t: t.median_ms),
        units.milliseconds,
        _timing_marks("train_step"),
    ),
)
BY_KEY = {quantity.key: quantity for quantity in QUANTITIES}
