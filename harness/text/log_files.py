"""Log files of workers: read in bounded parts, and trimmed in place while workers write to them.

A worker that prints without end fills no disk: above `MAX_BYTES` the middle of its log is cut out and a line says how
much. Workers and their children append (O_APPEND), so that after a cut they write at the new end.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from pathlib import Path

from harness.text.clean import LINE_LIMIT, clean, shortened

MAX_BYTES = 16 * 2**20
KEPT_BYTES = 2**20  # at each end of a trimmed log
READ_BYTES = 64 * 2**10  # read at once for messages
SHOWN_BYTES = 2**20  # shown at once by `logs`
WIDE_LIMIT = 2000  # characters of a line that `logs` shows
MAX_PASSES = 50  # over what is appended during a cut
_CUT = re.compile(rb"\n\[(\d+) bytes of this log were cut out here: [^\n]*\]\n")


def tail_lines(path: Path, num_lines: int) -> list[str]:
    """Return the last lines that are not blank, clean and bounded; of a file of any size. Empty where there is none."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - READ_BYTES, 0))
            content = file.read(READ_BYTES)
    except OSError:
        return []
    lines = clean(content.decode("utf-8", errors="replace")).split("\n")
    lines = lines[1:] if size > READ_BYTES and len(lines) > 1 else lines  # the first is not whole
    return [shortened(line, LINE_LIMIT) for line in lines if line.strip()][-num_lines:]


def _without_waiting(path: str, flags: int) -> int:
    """Open a file that may be a pipe without a writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def trim(path: Path) -> None:
    """Cut the middle out of a log above `MAX_BYTES`; processes that append to it need not know.

    What is appended during the cut is copied too, up to the instant of the last step. Errors are ignored: the log may
    be gone, or the disk may refuse; the next call tries again.
    """
    try:
        if os.stat(path).st_size > MAX_BYTES:
            with open(path, "r+b", buffering=0) as file:
                _cut(file.fileno())
    except OSError:
        return


def _cut(descriptor: int) -> None:
    head = os.pread(descriptor, KEPT_BYTES + 200, 0)
    earlier = _CUT.search(head)
    position = earlier.start() if earlier else head.rfind(b"\n", 0, KEPT_BYTES)
    position = KEPT_BYTES if position < 0 else position
    copied = _start_of_line(descriptor, os.fstat(descriptor).st_size - KEPT_BYTES)
    number = copied - position + (int(earlier[1]) - len(earlier[0]) if earlier else 0)
    limit = f"a log keeps {KEPT_BYTES // 2**20} MiB at each end"
    position += os.pwrite(descriptor, f"\n[{number} bytes of this log were cut out here: {limit}]\n".encode(), position)
    for _ in range(MAX_PASSES):
        part = os.pread(descriptor, 2 * KEPT_BYTES, copied)
        if not part or position + len(part) > copied:
            break
        position += os.pwrite(descriptor, part, position)
        copied += len(part)
    os.ftruncate(descriptor, position)


def _start_of_line(descriptor: int, position: int) -> int:
    """Return the start of the first line at or after a position; the position itself in a very long line."""
    newline = os.pread(descriptor, READ_BYTES, position).find(b"\n")
    return position + newline + 1


class LogReader:
    """Reads what is appended to a log, as clean text; of a long log it leaves out the middle and says so."""

    def __init__(self, path: Path):
        self.path = path
        self.position: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def new(self) -> Iterator[str]:
        """Yield what was appended since the last call. Raises: OSError."""
        with open(self.path, "rb", opener=_without_waiting) as file:
            size = file.seek(0, os.SEEK_END)
            if self.position is not None and size < self.position:
                yield "\n[the log was trimmed; its last lines follow]\n"
                self.position = max(size - READ_BYTES, 0)
            start = self.position or 0
            file.seek(start)
            if size - start > SHOWN_BYTES:
                yield self._text(file.read(READ_BYTES))
                left_out = size - start - SHOWN_BYTES
                yield f"\n[{left_out} bytes left out; the whole log: {self.path}]\n"
                file.seek(size - SHOWN_BYTES + READ_BYTES)
            yield self._text(file.read(SHOWN_BYTES))
            self.position = file.tell()

    def _text(self, content: bytes) -> str:
        lines = clean(self._decoder.decode(content)).split("\n")
        return "\n".join(shortened(line, WIDE_LIMIT) for line in lines)
