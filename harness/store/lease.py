"""Who works on a trial: a lock that the kernel releases with its process, and a heartbeat for other machines.

On one machine the lock alone decides, whatever any clock says. A shared file system may not carry locks from node to
node, so the holder also renews a file. Its age is the difference of two times that the same file system gave, the
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
PEEK_SECONDS = 1.0  # one who only looks whether a trial is locked holds the lock for much less
LEASE_SECONDS = 60.0  # without a beat for so long, a holder on another machine counts as gone


@cache
def this_machine() -> str:
    """Names the running kernel: containers on one machine share locks whatever they call themselves."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


@dataclass(frozen=True)
class Beat:
    """The last sign of life of a trial's worker."""

    machine: str
    pid: int
    age_s: float

    @property
    def is_elsewhere(self) -> bool:
        """Whether another machine gave it, so that our view of the lock may be wrong."""
        return self.machine != this_machine()

    @property
    def is_fresh(self) -> bool:
        """Whether its giver counts as alive. One far in the future was given before the clock was set back."""
        return abs(self.age_s) < LEASE_SECONDS


def last_beat(file: Path) -> Beat | None:
    """The last heartbeat of a trial, or None where there is none that can be read."""
    try:
        written = file.stat().st_mtime
        content = json.loads(file.read_text(encoding="utf-8"))
        return Beat(str(content["machine"]), int(content["pid"]), _time_there(file.parent) - written)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _time_there(folder: Path) -> float:
    """The time by the file system's clock, in seconds."""
    probe = folder / f".now.{os.getpid()}.tmp"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:  # somebody else's run, which we may only read
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


class Lease:
    """A trial held by this process; renewed by a thread until the end of `held`."""

    def __init__(self, lock_file: Path, beat_file: Path):
        self.lock_file = lock_file
        self.beat_file = beat_file
        self._content = json.dumps(asdict(Beat(this_machine(), os.getpid(), 0.0)))
        self._ended = threading.Event()

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Yields whether this process holds the trial now: nobody here has its lock, nobody elsewhere renews it."""
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
        """False once another worker took the trial over because this one was silent for too long."""
        try:
            return self.beat_file.read_text(encoding="utf-8") == self._content
        except OSError:  # nobody else's, at least; a folder that is gone shows at the next write
            return True

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            if not self.is_ours():
                return
            try:
                os.utime(self.beat_file)
            except OSError:
                continue  # a full disk or a file server that is away: the next beat may come through
