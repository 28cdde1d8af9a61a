"""Files that are replaced at once, and locks that end with their process."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

NUM_WRITERS = 16
GLANCE_SECONDS = 0.1  # more than any look at a lock takes
Written = TypeVar("Written")


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yields a place beside `path` to write to; at the end it is flushed to disk and renamed to `path`.

    After an exception (disk full, read-only) what was written is gone and the old file is whole.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # a failed write does not say of which file
        aside.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces a file at once, see `written_aside`. Raises: OSError, leaving the old file whole."""
    with written_aside(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


def side_by_side(write: Callable[[Written], object], items: Iterable[Written]) -> None:
    """Calls `write` for every item, several at once: a thousand files wait for the disk together, not in turn.

    Raises: the first exception; what was begun is finished then.
    """
    with ThreadPoolExecutor(NUM_WRITERS) as pool:
        list(pool.map(write, items))


@contextmanager
def exclusive_lock(path: Path, patience_s: float = GLANCE_SECONDS) -> Iterator[bool]:
    """Yields whether this process got the lock of that file; the kernel releases it when the process ends.

    `patience_s`: how long to try, in seconds; by default long enough for those who only look, see `is_locked`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_s
    with open(path, "a") as file:
        while not (got := _try_lock(file.fileno())) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield got


def is_locked(path: Path) -> bool:
    """Whether another process has the lock of that file. Looks without writing, and without being seen by lookers."""
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
