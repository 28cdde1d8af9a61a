"""Atomic replacement of files, and locks that the kernel releases when their process ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

NUM_WRITERS = 16
GLANCE_SECONDS = 0.1  # longer than a probe holds a lock
Written = TypeVar("Written")


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; at the end it is flushed to disk and renamed to `path`.

    After an exception (disk full, read-only) the temporary file is removed and the old file is unchanged.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # a failed write does not name its file
        aside.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file atomically, see `written_aside`. Raises: OSError; the old file is unchanged then."""
    with written_aside(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


def side_by_side(write: Callable[[Written], object], items: Iterable[Written]) -> None:
    """Call `write` for every item, several at once, so that many small files share the latency of the disk.

    Raises: the first exception, after the calls that were already running.
    """
    with ThreadPoolExecutor(NUM_WRITERS) as pool:
        list(pool.map(write, items))


@contextmanager
def exclusive_lock(path: Path, patience_s: float = GLANCE_SECONDS) -> Iterator[bool]:
    """Yield True if this process got the lock of that file; the kernel releases it when the process ends.

    A lock belongs to an open file, which a forked child shares. So the child closes it, see `_close_locks`, and the end
    of this block unlocks it explicitly: a child that C code forked knows nothing of that and may live on.
    `patience_s`: how long to retry, in seconds; the default outlasts a probe of `is_locked`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_s
    with open(path, "a") as file:
        _lock_files.add(file)
        try:
            while not (got := _try_lock(file.fileno())) and time.monotonic() < deadline:
                time.sleep(0.02)
            yield got
        finally:
            _lock_files.discard(file)
            if not file.closed:  # a forked child that leaves this block must not unlock its parent's lock
                fcntl.flock(file, fcntl.LOCK_UN)


_lock_files: set[IO[Any]] = set()


def unlock_all() -> None:
    """Release the locks of this process, which is about to exit without leaving the blocks that hold them."""
    for file in list(_lock_files):
        fcntl.flock(file, fcntl.LOCK_UN)


def _close_locks() -> None:
    """Close the lock files of the parent in a forked child, which would keep their locks after the parent's end."""
    while _lock_files:
        _lock_files.pop().close()


os.register_at_fork(after_in_child=_close_locks)


def is_locked(path: Path) -> bool:
    """Return whether another process holds the lock of that file. Concurrent probes (shared locks) do not conflict."""
    try:
        with open(path, "rb") as file:
            return not _try_lock(file.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
