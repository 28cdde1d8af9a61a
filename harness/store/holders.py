"""The process that holds a lock, for messages: the lock outlives its worker where a child of that worker shares it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
MAX_COMMAND = 80  # characters of a command in a message


@dataclass(frozen=True)
class Holder:
    """A process of this machine that has a lock; `command` is its command line."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command}) on {socket.gethostname()}"


def holder_of(lock_file: Path) -> Holder | None:
    """Return a process that holds the lock of that file; None if there is none on this machine that we may see.

    Looks through the open files of all processes: /proc/locks names the process that took the lock, which may be gone
    while its child keeps the lock. It is the second source, for processes of other users.
    """
    try:
        found = lock_file.stat()
    except OSError:
        return None
    for pid, descriptor in _open_files(found):
        if _has_lock(pid, descriptor):
            return Holder(pid, _command(pid))
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for pid in _lock_owners(device):
        if (PROC / str(pid)).exists():
            return Holder(pid, _command(pid))
    return None


def _open_files(wanted: os.stat_result) -> Iterator[tuple[int, str]]:
    """Yield (process, descriptor) wherever that file is open."""
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            descriptors = os.listdir(entry / "fd")
        except OSError:  # another user's process, or one that has ended
            continue
        for descriptor in descriptors:
            try:
                opened = os.stat(entry / "fd" / descriptor)
            except OSError:
                continue
            if (opened.st_dev, opened.st_ino) == (wanted.st_dev, wanted.st_ino):
                yield int(entry.name), descriptor


def _has_lock(pid: int, descriptor: str) -> bool:
    try:
        return re.search(r"^lock:.*\bWRITE\b", (PROC / str(pid) / "fdinfo" / descriptor).read_text(), re.M) is not None
    except OSError:
        return False


def _lock_owners(device: str) -> list[int]:
    try:
        lines = (PROC / "locks").read_text()
    except OSError:
        return []
    return [int(pid) for pid in re.findall(rf"^\d+: \S+ +\S+ +WRITE (\d+) {device} ", lines, re.MULTILINE)]


def _command(pid: int) -> str:
    """Return the command line of a process, or its name in brackets where it has none."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
        line = "".join(char if char.isprintable() else "?" for char in " ".join(words).strip())
        return line[:MAX_COMMAND] or f"[{(PROC / str(pid) / 'comm').read_text().strip()}]"
    except OSError:
        return "ended meanwhile"
