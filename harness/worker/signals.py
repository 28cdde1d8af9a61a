"""How a worker is asked to stop, and what its exit code tells its launcher."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_DONE = 0
EXIT_FAILED = 1  # the status says how
EXIT_LOCKED = 75  # another worker has the trial
EXIT_PREEMPTED = 85  # stopped on request after a checkpoint, or by the loss of another rank; start again
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)


class StopRequest:
    """Set by SIGTERM, SIGINT or SIGUSR2; the training loop looks at it after every step."""

    def __init__(self) -> None:
        self.requested = False
        for number in STOP_SIGNALS:
            signal.signal(number, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # who started us may have kept them back until now

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True

    def __call__(self) -> bool:
        return self.requested


@contextmanager
def blocked_stop_signals() -> Iterator[None]:
    """Keeps requests to stop back meanwhile; a process started here inherits that until it makes a `StopRequest`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(parent: int, number: int = signal.SIGTERM) -> None:
    """Asks the kernel for a signal when the launcher dies, so that no worker outlives it unseen (Linux)."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_parent_death_signal, number)
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), number)
