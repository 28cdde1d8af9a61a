"""Processes that a worker leaves: found and ended, also those that left its session (Linux).

Each worker, and the pool of workers, is a subreaper: where a process ends, its children become children of the nearest
subreaper above it. So a process that a worker started stays below that worker, and is the pool's child after its end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROC = Path("/proc")
SET_SUBREAPER, GET_SUBREAPER = 36, 37  # PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER
#: in the environment of workers, hence of what they start: the process id of their pool
POOL_VARIABLE = "HARNESS_POOL"
GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL to what a worker left


def become_subreaper(wanted: bool = True) -> bool:
    """Makes orphans among the descendants of this process its children; returns whether the kernel does that."""
    return sys.platform == "linux" and ctypes.CDLL(None).prctl(SET_SUBREAPER, int(wanted), 0, 0, 0) == 0


def is_subreaper() -> bool:
    """Returns whether orphans among the descendants of this process become its children."""
    answer = ctypes.c_int(0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(GET_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    return bool(answer.value)


@contextmanager
def subreaping() -> Iterator[bool]:
    """Makes this process a subreaper within a block; yields whether it is one."""
    before = is_subreaper()
    became = before or become_subreaper()
    try:
        yield became
    finally:
        if became and not before:
            become_subreaper(False)


def stat_fields(pid: int | str) -> list[str]:
    """Returns the fields of /proc/PID/stat from the state on, see `man proc`. Raises: OSError."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def children_of(pid: int) -> list[int]:
    """Returns the ids of the children of a process."""
    found: list[int] = []
    for file in PROC.glob(f"{pid}/task/*/children"):
        with suppress(OSError):
            found += map(int, file.read_text().split())
    return found


def descendants_of(pid: int) -> list[int]:
    """Returns the ids of the children of a process, of their children, and so on."""
    found = children_of(pid)
    for child in found:  # the list grows meanwhile
        found += children_of(child)
    return found


def kill(pids: Iterable[int], number: int = signal.SIGKILL) -> None:
    """Sends a signal to processes; those that have ended are skipped."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


class Orphans:
    """Ends what workers of this process have left behind.

    Such a process is a child of this one, and carries `POOL_VARIABLE` or belongs to the session of a worker: a program
    that runs a sweep (a notebook) may have children of its own.
    """

    def __init__(self) -> None:
        self._sessions: set[int] = set()
        self._asked: dict[int, float] = {}  # SIGTERM was sent at that time

    def ended(self, worker: int) -> None:
        """Takes note that a worker, and so its session, has ended."""
        self._sessions.add(worker)

    def end(self, known: set[int]) -> None:
        """Asks orphans to end, kills those that do not, and reaps them. `known`: children that are no orphans."""
        for pid in set(children_of(os.getpid())) - known:
            if not self._is_ours(pid):
                continue
            if _reaped(pid):  # the number may come back for another process
                self._asked.pop(pid, None)
                continue
            now = time.monotonic()
            if pid not in self._asked:
                self._asked[pid] = now
                kill([pid, *descendants_of(pid)], signal.SIGTERM)
            elif now - self._asked[pid] > GRACE_SECONDS:
                kill([pid, *descendants_of(pid)])

    def end_all(self, known: set[int]) -> None:
        """Ends all orphans and waits for that, for at most twice the grace period."""
        deadline = time.monotonic() + 2 * GRACE_SECONDS
        while any(map(self._is_ours, set(children_of(os.getpid())) - known)) and time.monotonic() < deadline:
            self.end(known)
            time.sleep(0.02)

    def _is_ours(self, pid: int) -> bool:
        if pid in self._asked:
            return True
        try:
            if os.getsid(pid) in self._sessions:
                return True
            return f"{POOL_VARIABLE}={os.getpid()}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            return False


def _reaped(pid: int) -> bool:
    """Returns whether a child has ended, and takes its exit code from the kernel then."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True
