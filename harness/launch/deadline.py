"""A deadline for the questions that a command asks of queues and other machines, so that none of them makes it hang.

A launcher asks with `timeout=seconds_left(30.0)`; `status` and `watch` allow a few seconds for all questions together.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

_end: ContextVar[float] = ContextVar("end", default=float("inf"))


@contextmanager
def answers_within(seconds: float) -> Iterator[None]:
    """Allows so many seconds for all questions within a block."""
    token = _end.set(min(_end.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _end.reset(token)


def seconds_left(at_most: float) -> float:
    """Returns the seconds that a question may take now, at least 0."""
    return max(0.0, min(at_most, _end.get() - time.monotonic()))


@contextmanager
def raises_after(seconds: float, message: str) -> Iterator[None]:
    """Raises TimeoutError in a block of the main thread that takes longer; for calls that take no timeout."""

    def too_late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"{message} within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
