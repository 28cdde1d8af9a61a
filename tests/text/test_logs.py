"""Logs of any size and content are read in parts, and trimmed while processes append to them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.store import TrialFolder, TrialStatus
from harness.text import log_files
from harness.text.clean import TEXT_LIMIT
from harness.text.log_files import LogReader, tail_lines, trim
from tests.text.hostile import TEXTS, unprintable


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the limits small, so that the files of the tests are."""
    monkeypatch.setattr(log_files, "MAX_BYTES", 20_000)
    monkeypatch.setattr(log_files, "KEPT_BYTES", 2_000)
    monkeypatch.setattr(log_files, "SHOWN_BYTES", 5_000)
    monkeypatch.setattr(log_files, "READ_BYTES", 1_000)


def test_the_tail_of_a_huge_log_costs_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with open(log, "wb") as file:
        file.truncate(2 * 2**30)  # a hole: 2 GiB of NUL
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast but one\n\x1b[31mlast\xff line\n\n")
    begin = time.perf_counter()
    assert tail_lines(log, 2) == ["last but one", "last� line"]
    assert time.perf_counter() - begin < 1.0


def test_any_tail_is_clean_and_bounded(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    for text in TEXTS:
        log.write_bytes(b"first\n" + text.encode("utf-8", "surrogatepass") + b"\nlast")
        lines = tail_lines(log, 5)
        assert lines[-1] == "last"
        assert all(unprintable(line) == [] and len(line) <= log_files.LINE_LIMIT for line in lines)
    assert tail_lines(tmp_path / "missing", 3) == []
    os.mkfifo(tmp_path / "pipe")
    assert tail_lines(tmp_path / "pipe", 3) == []


def test_a_trimmed_log_keeps_both_ends_and_counts_what_is_gone(tmp_path: Path, small: None) -> None:
    log = tmp_path / "log.txt"
    written = [f"line {number:06d}\n" for number in range(6_000)]
    with open(log, "a") as worker:  # as the pool opens it
        for first in range(0, len(written), 2_000):  # three times above the limit
            worker.writelines(written[first : first + 2_000])
            worker.flush()
            trim(log)
            assert log.stat().st_size < 5_000
        worker.write("the end\n")
    lines = log.read_text().splitlines(keepends=True)
    cut = next(index for index, line in enumerate(lines) if "cut out" in line)
    assert lines[:cut] == written[:cut]
    assert lines[-1] == "the end\n"
    tail = lines[cut + 1 : -1]
    assert tail == written[-len(tail) :]
    number = int(lines[cut].split()[0][1:])
    kept = sum(map(len, lines[:cut])) + sum(map(len, tail))
    assert abs(sum(map(len, written)) - kept - number) <= 1


def test_a_small_log_is_left_alone(tmp_path: Path, small: None) -> None:
    log = tmp_path / "log.txt"
    log.write_bytes(b"x" * 20_000)
    trim(log)
    assert log.stat().st_size == 20_000
    trim(tmp_path / "missing")


def test_one_endless_line_is_trimmed_too(tmp_path: Path, small: None) -> None:
    log = tmp_path / "log.txt"
    log.write_bytes(b"x" * 50_000)
    trim(log)
    assert log.stat().st_size < 5_000
    assert b"bytes of this log were cut out here" in log.read_bytes()


FLOOD = (
    "import os\nos.fork()\nfor n in range(20000): os.write(1, b'%07d %d\\n' % (n, os.getpid()))\nos.write(1, b'end\\n')"
)


def test_processes_that_append_meanwhile_lose_no_last_line(tmp_path: Path, small: None) -> None:
    """The worker and a child of it write to one descriptor, as fast as they can."""
    log = tmp_path / "log.txt"
    with open(log, "ab") as output:
        process = subprocess.Popen([sys.executable, "-c", FLOOD], stdout=output)
    ended = threading.Event()
    largest = 0
    while not ended.is_set():
        if process.poll() is not None and tail_lines(log, 1) == ["end"]:
            ended.set()
        trim(log)
        largest = max(largest, log.stat().st_size)
    content = log.read_text()
    assert "\0" not in content
    assert log.stat().st_size <= 20_000
    assert content.rstrip().endswith("end")
    assert content.startswith("0000000 ")


def test_a_reader_shows_both_ends_of_a_long_log_and_what_follows(tmp_path: Path, small: None) -> None:
    log = tmp_path / "log.txt"
    log.write_text("".join(f"{number:06d}\n" for number in range(10_000)))
    reader = LogReader(log)
    text = "".join(reader.new())
    assert text.startswith("000000\n")
    assert text.endswith("009999\n")
    assert "bytes left out; the whole log:" in text
    assert len(text) < 6_000
    with open(log, "a") as file:
        file.write("\x1b[2Jnew \u202e" + "x" * 4000)
    (more,) = reader.new()
    assert more.startswith("new \\u202e")
    assert len(more) <= log_files.WIDE_LIMIT
    trim(log)
    assert "trimmed" in "".join(reader.new())


def test_a_status_is_bounded_and_clean_in_its_file(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    for text in TEXTS:
        folder.write_status(TrialStatus(status="failed", message=f"head {text} tail", host=text, node=text))
        assert folder.status_file.stat().st_size < 8 * TEXT_LIMIT  # JSON may take six bytes for a character
        found = folder.written_status()
        assert found.status == "failed"
        assert found.message.startswith("head")
        assert found.message.endswith("tail")
        assert unprintable(found.message + found.host + found.node) == []
