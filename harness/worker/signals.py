"""How a worker is asked to stop."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import FrameType


class StopRequest:
    """Set by SIGTERM, SIGINT or SIGUSR2; the training loop looks at it after every step."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            signal.signal(number, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})  # launchers start us with it held back

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True

    def __call__(self) -> bool:
        return self.requested


def end_with_parent(parent: int) -> None:
    """Asks the kernel for a SIGTERM when the launcher dies, so that no worker outlives it unseen (Linux)."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), signal.SIGTERM)
