"""Sees a file appear the moment it does (inotify), so that a kill can fall between two writes."""

from __future__ import annotations

import ctypes
import os
import re
import select
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IN_CREATE, IN_MOVED_TO = 0x100, 0x80
HEADER = struct.Struct("iIII")


class Appearances:
    """Names that appear in a folder, by creation or by renaming, from now on."""

    def __init__(self, folder: Path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(os.O_CLOEXEC)
        if self.descriptor < 0 or libc.inotify_add_watch(self.descriptor, bytes(folder), IN_CREATE | IN_MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), f"inotify: {folder}")

    def wait_for(self, pattern: str, patience_s: float = 120.0) -> str:
        """The first name that fits the regular expression. Raises: TimeoutError."""
        deadline = time.monotonic() + patience_s
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.descriptor], [], [], left)[0]:
                break
            for name in _names(os.read(self.descriptor, 65536)):
                if re.fullmatch(pattern, name):
                    return name
        raise TimeoutError(f"no {pattern} appeared in {patience_s:g} s")


def _names(buffer: bytes) -> Iterator[str]:
    place = 0
    while place < len(buffer):
        *_, length = HEADER.unpack_from(buffer, place)
        place += HEADER.size
        yield buffer[place : place + length].rstrip(b"\0").decode(errors="replace")
        place += length


@contextmanager
def appearances(folder: Path) -> Iterator[Appearances]:
    """Watches a folder for as long as the block lasts."""
    watch = Appearances(folder)
    try:
        yield watch
    finally:
        os.close(watch.descriptor)
