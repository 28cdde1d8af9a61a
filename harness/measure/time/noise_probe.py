"""A fixed piece of work whose time tells how quiet the machine is.

What other guests of the same host do is in no file of ours, yet it takes caches, memory bandwidth and half a core from
us, and not from all models alike. Beside a block of samples, this work tells the good moments from the others without
looking at the samples: choosing by it does not favour a row.

The work must need what models need. Through minutes in which a small model's time wandered by 5 %, a stream through
8 MiB knew nothing of it (correlation -0.1), streams through 24 to 64 MiB did (0.9): neighbours take the last level of
cache, and whatever is small and was touched just before hardly notices.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from harness.stats.ratios import is_quiet

STREAM_LENGTH = 6 << 20  # float32: 24 MiB read, 24 MiB written
PRODUCT_SIZE = 256
NUM_WARM_GOES, NUM_GOES = 2, 3  # the first ones find the caches as whoever ran before has left them
WORK = f"{2 * STREAM_LENGTH * 4 >> 20} MiB streamed, {PRODUCT_SIZE} x {PRODUCT_SIZE} product"  # others do not compare
LOOK_EVERY_SECONDS = 0.25


class Reference:
    """A stream through memory, then a matrix product, with the threads that torch is set to: 1 to 3 ms on a core."""

    def __init__(self) -> None:
        self._source, self._target = torch.ones(STREAM_LENGTH), torch.empty(STREAM_LENGTH)
        self._factor = torch.ones(PRODUCT_SIZE, PRODUCT_SIZE)
        self._product = torch.empty(PRODUCT_SIZE, PRODUCT_SIZE)
        self.time_ms()  # faults the pages in

    def time_ms(self) -> float:
        """Milliseconds of one go: the median of three, after some that do not count."""
        for _ in range(NUM_WARM_GOES):
            self._go()
        return float(np.median([self._go() for _ in range(NUM_GOES)]))

    def _go(self) -> float:
        begin_s = time.perf_counter()
        torch.mul(self._source, 2.0, out=self._target)
        torch.mm(self._factor, self._factor, out=self._product)
        return 1e3 * (time.perf_counter() - begin_s)


class Patience:
    """Waits for quiet moments, for so many seconds in all."""

    def __init__(self, seconds: float):
        self.left_s = seconds

    def wait(self, best_ms: float | None, num_threads: int) -> None:
        """Returns when the machine is as good as at its best, or patience at its end; torch keeps its threads."""
        if best_ms is None or self.left_s <= 0:
            return
        before = torch.get_num_threads()
        torch.set_num_threads(num_threads)
        try:
            reference, begin_s = Reference(), time.monotonic()
            while not is_quiet(reference.time_ms(), best_ms) and time.monotonic() - begin_s < self.left_s:
                time.sleep(LOOK_EVERY_SECONDS)
            self.left_s -= time.monotonic() - begin_s
        finally:
            torch.set_num_threads(before)
