"""Noise probe: a fixed piece of work, timed alongside a measurement, that shows how quiet the machine is.

Other guests of the same host appear in no file that this process can read, yet they take caches, memory bandwidth and
CPU time, and slow down some models more than others. The probe separates good moments from bad ones without using the
samples themselves, so that choosing by it favours no row.

It needs the resources that models need. While a small model's time varied by 5 % over minutes, a stream through 8 MiB
did not follow it (correlation -0.1) and streams through 24 to 64 MiB did (0.9): neighbours evict the last level of
cache, which small, recently used data hardly notices.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from harness.stats.ratios import is_quiet

STREAM_LENGTH = 6 << 20  # float32: 24 MiB read, 24 MiB written
PRODUCT_SIZE = 256
NUM_WARMUP_PASSES, NUM_PASSES = 2, 3  # the first passes find the caches as the code before left them
#: what the probe does; times of different work are not comparable
PROBE_WORK = f"{2 * STREAM_LENGTH * 4 >> 20} MiB streamed, {PRODUCT_SIZE} x {PRODUCT_SIZE} product"
POLL_SECONDS = 0.25


class NoiseProbe:
    """A stream through memory, then a matrix product, with torch's current number of threads: 1 to 3 ms on a core."""

    def __init__(self) -> None:
        self._source, self._target = torch.ones(STREAM_LENGTH), torch.empty(STREAM_LENGTH)
        self._factor = torch.ones(PRODUCT_SIZE, PRODUCT_SIZE)
        self._product = torch.empty(PRODUCT_SIZE, PRODUCT_SIZE)
        self.time_ms()  # faults the pages in

    def time_ms(self) -> float:
        """Return the milliseconds of one pass: the median of three, after two warm-up passes."""
        for _ in range(NUM_WARMUP_PASSES):
            self._run()
        return float(np.median([self._run() for _ in range(NUM_PASSES)]))

    def _run(self) -> float:
        begin_s = time.perf_counter()
        torch.mul(self._source, 2.0, out=self._target)
        torch.mm(self._factor, self._factor, out=self._product)
        return 1e3 * (time.perf_counter() - begin_s)


class Patience:
    """Waits for quiet moments, at most a number of seconds in total."""

    def __init__(self, seconds: float):
        self.left_s = seconds

    def wait(self, best_ms: float | None, num_threads: int) -> None:
        """Wait until the probe is as fast as at the best of the machine, or time is up; torch keeps its threads."""
        if best_ms is None or self.left_s <= 0:
            return
        before = torch.get_num_threads()
        torch.set_num_threads(num_threads)
        try:
            probe, begin_s = NoiseProbe(), time.monotonic()
            while not is_quiet(probe.time_ms(), best_ms) and time.monotonic() - begin_s < self.left_s:
                time.sleep(POLL_SECONDS)
            self.left_s -= time.monotonic() - begin_s
        finally:
            torch.set_num_threads(before)
