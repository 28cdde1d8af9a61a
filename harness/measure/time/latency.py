"""Latency of a repeated call: warm-up, all samples, median with a bootstrap interval, a mark if it is unstable.

The first call, which loads code and compiles a compiled model, is reported separately.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from harness.measure.time.allocator import keep_freed_memory
from harness.record import Timing
from harness.stats.intervals import bootstrap_median_interval

MIN_WARMUP_CALLS = 3
WARMUP_SHARE = 0.2  # of the time limit
UNSTABLE_SPREAD = 0.05  # interquartile range over median
UNSTABLE_DRIFT = 0.05  # between the medians of the first and the last third


def time_call(
    call: Callable[[], Any],
    *,
    batch_size: int,
    min_samples: int = 30,
    max_seconds: float = 2.0,
    device: str = "cpu",
    alive: Callable[[str], None] = lambda unit: None,
) -> Timing:
    """Time `call` in milliseconds, one sample per call.

    Samples until there are `min_samples` with a small spread, or until `max_seconds` are over (at least 3 samples).
    On CUDA, each call has its own pair of events, with one synchronisation at the end. On CPU, the process keeps freed
    memory from now on (`harness.measure.time.allocator`). `alive` is called after a few samples each.
    """
    kept = keep_freed_memory() if device == "cpu" else None
    (first,) = sample_calls(call, device, 1)
    alive("first call")
    _warm_up(call, device, WARMUP_SHARE * max_seconds)
    samples: list[float] = []
    start = time.perf_counter()
    while True:
        samples += sample_calls(call, device, min_samples)
        alive("samples")
        spent = time.perf_counter() - start
        if len(samples) >= min_samples and (_spread(samples) < UNSTABLE_SPREAD or spent > max_seconds):
            break
        if spent > max_seconds and len(samples) >= MIN_WARMUP_CALLS:
            break
    return _timing(samples, batch_size, first, kept)


def _timing(samples: list[float], batch_size: int, first_call_ms: float, kept: bool | None) -> Timing:
    low, high = bootstrap_median_interval(samples)
    lower, upper, p95 = np.percentile(samples, [25, 75, 95])
    return Timing(
        batch_size=batch_size,
        samples_ms=samples,
        median_ms=float(np.median(samples)),
        median_low_ms=low,
        median_high_ms=high,
        unstable=_spread(samples) > UNSTABLE_SPREAD or _drift(samples) > UNSTABLE_DRIFT,
        iqr_ms=float(upper - lower),
        p95_ms=float(p95),
        first_call_ms=first_call_ms,
        freed_memory_kept=kept,
    )


def _warm_up(call: Callable[[], Any], device: str, seconds: float) -> None:
    start, calls = time.perf_counter(), 0
    while calls < MIN_WARMUP_CALLS or time.perf_counter() - start < seconds:
        call()
        calls += 1
        if device == "cuda":
            torch.cuda.synchronize()


def sample_calls(call: Callable[[], Any], device: str, number: int) -> list[float]:
    """Return milliseconds of consecutive calls: at least one, at most `number`, for about a third of a second."""
    if device == "cuda":
        events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(number)]
        for begin, end in events:
            begin.record()
            call()
            end.record()
        torch.cuda.synchronize()
        return [float(begin.elapsed_time(end)) for begin, end in events]
    samples: list[float] = []
    while len(samples) < number and sum(samples) < 300:
        begin_s = time.perf_counter()
        call()
        samples.append(1e3 * (time.perf_counter() - begin_s))
    return samples


def _spread(samples: list[float]) -> float:
    """Return the interquartile range over the median."""
    low, middle, high = np.percentile(samples, [25, 50, 75])
    return float((high - low) / middle)


def _drift(samples: list[float]) -> float:
    """Return the relative difference between the medians of the first and the last third."""
    third = max(len(samples) // 3, 1)
    first, last = float(np.median(samples[:third])), float(np.median(samples[-third:]))
    return abs(last - first) / min(first, last)
