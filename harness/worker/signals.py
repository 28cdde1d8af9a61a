"""Stop requests to a worker, and its exit codes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from harness.worker.reporter import LeaseLost

EXIT_DONE = 0
EXIT_FAILED = 1  # the status says how
EXIT_LOCKED = 75  # another worker has the trial
EXIT_PREEMPTED = 85  # stopped on request after a checkpoint, or by the loss of another rank; start again
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP)


def handled_signals() -> list[signal.Signals]:
    """Returns the stop signals that this thread can react to: not SIGHUP where it is ignored, as under `nohup`."""
    if not can_handle_signals():
        return []
    return [item for item in STOP_SIGNALS if item != signal.SIGHUP or signal.getsignal(item) != signal.SIG_IGN]


class StopRequest:
    """A flag that a stop signal sets; the training loop checks it after every step."""

    def __init__(self) -> None:
        self.requested = False
        self._pid = os.getpid()
        self.alive: Callable[[str], None] = lambda unit: None
        for number in handled_signals():
            signal.signal(number, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # the parent may have blocked them until now

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True

    def __call__(self) -> bool:
        """Returns whether a stop was asked for. Raises: LeaseLost in a forked copy of the worker, which must end."""
        if os.getpid() != self._pid:
            raise LeaseLost(f"process {os.getpid()}, a forked copy of the worker, ends without writing")
        self.alive("step")
        return self.requested


def _forget_stop_requests() -> None:
    """Lets stop signals end a forked child: it has no checkpoint to save, and the process that ends it waits."""
    for number in STOP_SIGNALS:
        if isinstance(getattr(signal.getsignal(number), "__self__", None), StopRequest):
            signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget_stop_requests)


def can_handle_signals() -> bool:
    """Returns whether this thread may set signal handlers: only the main thread may, and a notebook may use others."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def blocked_stop_signals() -> Iterator[None]:
    """Blocks stop signals within a block; a process started there inherits that until it makes a `StopRequest`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_terminal() -> None:
    """Sends what is still printed to nowhere if the terminal is gone: after SIGHUP, writing to it is an error."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


@contextmanager
def postponed_stop() -> Iterator[Callable[[], bool]]:
    """Postpones SIGTERM and SIGHUP to the end of a block; yields a function that says whether one of them came."""
    came: list[int] = []
    if not can_handle_signals():
        yield lambda: False
        return
    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in wanted}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            sys.stdout.flush()  # the signal may end the process at once
            signal.raise_signal(came[0])


@contextmanager
def time_limit(seconds: float, what: str) -> Iterator[None]:
    """Raises TimeoutError in a block that takes longer; outside the main thread there is no limit."""
    if not can_handle_signals():
        yield
        return

    def too_late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"{what} did not answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def end_with_parent(parent: int, number: int = signal.SIGTERM) -> None:
    """Asks the kernel for a signal when the launcher dies, so that no worker outlives it (Linux)."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_parent_death_signal, number)
    if os.getppid() != parent:  # it died before the call
        os.kill(os.getpid(), number)
