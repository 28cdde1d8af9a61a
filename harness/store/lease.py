"""The lease of a trial: a lock that the kernel releases with its process, and a heartbeat for other machines.

On one machine the lock alone decides, independent of any clock. A shared file system may not carry locks between
nodes, so the holder also renews a file. Its age is the difference of two times that the same file system gave, the
beat's and that of a file touched now: the clocks of the nodes need not agree.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from harness.store.files import exclusive_lock

BEAT_SECONDS = 5.0
PEEK_SECONDS = 1.0  # a probe of the lock takes much less
LEASE_SECONDS = 60.0  # a holder on another machine without a heartbeat for so long is stale


@cache
def this_machine() -> str:
    """Return an id of the running kernel: containers on one machine share its locks, whatever their host names."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


@dataclass(frozen=True)
class Beat:
    """The last heartbeat of a trial's worker."""

    machine: str
    pid: int
    age_s: float

    @property
    def is_elsewhere(self) -> bool:
        """Return whether another machine wrote it: this machine may not see the lock of that worker."""
        return self.machine != this_machine()

    @property
    def is_fresh(self) -> bool:
        """Return whether the worker counts as alive. An age far below 0 means that the clock was set back since."""
        return abs(self.age_s) < LEASE_SECONDS


def last_beat(file: Path) -> Beat | None:
    """Return the last heartbeat of a trial; None where there is none that can be read."""
    try:
        written = file.stat().st_mtime
        content = json.loads(file.read_text(encoding="utf-8"))
        return Beat(str(content["machine"]), int(content["pid"]), _time_there(file.parent) - written)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _time_there(folder: Path) -> float:
    """Return the time of the file system's clock, in seconds."""
    probe = folder / f".now.{os.getpid()}.tmp"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:  # a run of another user, read-only for this one
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


class Lease:
    """The right of one process to work on a trial; a thread renews the heartbeat until the end of `held`."""

    def __init__(self, lock_file: Path, beat_file: Path):
        self.lock_file = lock_file
        self.beat_file = beat_file
        self._pid = os.getpid()
        self._content = json.dumps(asdict(Beat(this_machine(), self._pid, 0.0)))
        self._ended = threading.Event()

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Yield True if this process holds the trial: no other has its lock here or renews its heartbeat elsewhere."""
        with exclusive_lock(self.lock_file, patience_s=PEEK_SECONDS) as got:
            beat = last_beat(self.beat_file) if got else None
            if not got or (beat is not None and beat.is_elsewhere and beat.is_fresh):
                yield False
                return
            self.beat_file.write_text(self._content, encoding="utf-8")
            thread = threading.Thread(target=self._renew, daemon=True)
            thread.start()
            try:
                yield True
            finally:
                self._ended.set()
                thread.join()
                if self.is_ours():
                    self.beat_file.unlink(missing_ok=True)

    def is_ours(self) -> bool:
        """Return False once another worker took the trial over because this one's heartbeat was stale.

        A forked child, which goes on with a copy of this object, holds nothing.
        """
        if os.getpid() != self._pid:
            return False
        try:
            return self.beat_file.read_text(encoding="utf-8") == self._content
        except OSError:  # no other worker took it; a folder that is gone fails at the next write
            return True

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            if not self.is_ours():
                return
            try:
                os.utime(self.beat_file)
            except OSError:
                continue  # a full disk or a file server that is down: the next heartbeat may succeed
