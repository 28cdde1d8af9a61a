"""A fixed piece of work whose time tells how quiet the machine is.

What other guests of the same host do is in no file of ours, yet it takes caches, memory bandwidth and half a core from
us, and not from all models alike. Beside a block of samples, this work tells the good moments from the others without
looking at the samples: choosing by it does not favour a row.
"""

from __future__ import annotations

import time

import numpy as np
import torch

QUIET_FACTOR = 1.10  # over its time at the machine's best
NUM_STREAMS, STREAM_LENGTH = 4, 1 << 20  # float32: 4 MiB read, 4 MiB written, each time
PRODUCT_SIZE = 256
NUM_WARM_GOES, NUM_GOES = 4, 3  # the first ones find the caches as whoever ran before has left them
LOOK_EVERY_SECONDS = 0.25


class Reference:
    """Streams through memory, then a matrix product, with the threads that torch is set to: 1 to 2 ms on a core."""

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
        for _ in range(NUM_STREAMS):
            torch.mul(self._source, 2.0, out=self._target)
        torch.mm(self._factor, self._factor, out=self._product)
        return 1e3 * (time.perf_counter() - begin_s)


def best_of(times_ms: list[float], known_ms: float | None = None) -> float | None:
    """The time at the machine's best: the 5th percentile of these, or what is known from before if that is less."""
    found = [float(np.percentile(times_ms, 5))] if times_ms else []
    return min([*found, *([] if known_ms is None else [known_ms])], default=None)


def is_quiet(reference_ms: float, best_ms: float) -> bool:
    """Whether the machine was as good as at its best."""
    return reference_ms <= QUIET_FACTOR * best_ms


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
