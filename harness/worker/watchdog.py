"""Ends a worker that makes no progress, on a clock that stops while the process or the machine is suspended."""

from __future__ import annotations

import faulthandler
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DEFAULT_STALL_MINUTES = 10.0
PATIENCE = 200  # times the median interval of a unit of work
NUM_INTERVALS = 50  # of each unit of work
LONGEST_TICK_SECONDS = 1.0


class AwakeClock:
    """Counts the seconds between ticks, and of a longer pause only `longest_s`: the process was suspended then."""

    def __init__(self, longest_s: float = 2 * LONGEST_TICK_SECONDS):
        self.longest_s = longest_s
        self._counted = 0.0
        self._last = time.monotonic()

    def tick(self) -> None:
        """Counts the time since the last tick; call it often."""
        now = time.monotonic()
        self._counted, self._last = self._counted + min(now - self._last, self.longest_s), now

    def seconds(self) -> float:
        """Returns the seconds counted so far."""
        return self._counted + min(time.monotonic() - self._last, self.longest_s)


class Watchdog:
    """Waits for signs of life, from a thread; without any for too long it prints all stacks and calls `on_stall` once.

    Too long: `limit_s` seconds, or `PATIENCE` times the median interval of the slowest unit of work if that is longer.
    """

    def __init__(self, limit_s: float, on_stall: Callable[[str], None]):
        self.limit_s = limit_s
        self.on_stall = on_stall
        self.tick_s = min(LONGEST_TICK_SECONDS, limit_s / 10)
        self.clock = AwakeClock(2 * self.tick_s)
        self._last_sign = 0.0
        self._last_of: dict[str, float] = {}
        self._intervals: dict[str, deque[float]] = {}

    def alive(self, unit: str) -> None:
        """Takes note of a sign of life: a unit of work (step, evaluation batch, clip, sample) is done."""
        now = self.clock.seconds()
        if unit in self._last_of:
            self._intervals.setdefault(unit, deque(maxlen=NUM_INTERVALS)).append(now - self._last_of[unit])
        self._last_of[unit] = self._last_sign = now

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches until the end of the block."""
        closed = threading.Event()
        thread = threading.Thread(target=self._watch, args=(closed,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            closed.set()
            thread.join()

    def _watch(self, closed: threading.Event) -> None:
        while not closed.wait(self.tick_s):
            self.clock.tick()
            silent_s = self.clock.seconds() - self._last_sign
            if silent_s > self.limit_s and silent_s > self._patience_s():
                last = max(self._last_of, key=lambda unit: self._last_of[unit], default="start")
                message = f"no progress for {silent_s / 60:.3g} minutes (launch.stall_minutes), last: {last}"
                print(f"{message}; where each thread is:", file=sys.stderr, flush=True)
                faulthandler.dump_traceback(sys.stderr, all_threads=True)
                self.on_stall(f"{message}; the log shows where each thread was")
                return

    def _patience_s(self) -> float:
        medians = [statistics.median(list(intervals)) for intervals in list(self._intervals.values())]
        return PATIENCE * max(medians, default=0.0)
