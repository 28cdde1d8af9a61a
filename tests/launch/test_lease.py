"""The lease of a trial, on the same machine and on another."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from harness.store import TrialFolder, TrialStatus, lease
from harness.worker.reporter import LeaseLost, Reporter


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    made = TrialFolder(tmp_path / "trial")
    made.create({"trial": {"seed": 1}})
    return made


def beat_of_another_machine(folder: TrialFolder, age_s: float) -> None:
    folder.beat_file.write_text(json.dumps({"machine": "another", "pid": 1, "age_s": 0.0}))
    now = time.time()
    os.utime(folder.beat_file, (now - age_s, now - age_s))


def test_a_second_worker_gets_nothing_and_the_end_frees_the_trial(folder: TrialFolder) -> None:
    with folder.lease().held() as first:
        with folder.lease().held() as second:
            assert first
            assert not second
        assert folder.is_held()
    assert not folder.is_held()
    assert not folder.beat_file.exists()


@pytest.mark.parametrize(
    ("age_s", "alive"), [(1.0, True), (-1.0, True), (lease.LEASE_SECONDS + 5, False), (-1e5, False)]
)
def test_a_worker_elsewhere_lives_as_long_as_its_heart_beats(folder: TrialFolder, age_s: float, alive: bool) -> None:
    folder.write_status(TrialStatus(status="running", stage="train"))
    beat_of_another_machine(folder, age_s)
    assert folder.status().status == ("running" if alive else "lost")
    with folder.lease().held() as got:
        assert got is not alive


def test_a_killed_worker_of_this_machine_is_lost_at_once_whatever_the_clock_says(folder: TrialFolder) -> None:
    folder.write_status(TrialStatus(status="running", stage="train"))
    folder.beat_file.write_text(json.dumps({"machine": lease.this_machine(), "pid": 1, "age_s": 0.0}))
    for jump in (-1e6, 0.0, 1e6):
        now = time.time() + jump
        os.utime(folder.beat_file, (now, now))
        assert folder.status().status == "lost"


def test_the_heart_beats_while_held(folder: TrialFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    with folder.lease().held():
        os.utime(folder.beat_file, (0, 0))
        deadline = time.monotonic() + 5
        while folder.beat_file.stat().st_mtime < 1e6 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert folder.beat_file.stat().st_mtime > 1e6


def test_a_silent_worker_that_was_replaced_writes_nothing_more(folder: TrialFolder) -> None:
    mine = folder.lease()
    with mine.held():
        reporter = Reporter(folder, "train", mine)
        beat_of_another_machine(folder, 0.0)  # it saw no heartbeat for a minute and took over
        before = folder.status_file.read_text()
        with pytest.raises(LeaseLost):
            reporter.end("done")
        assert folder.status_file.read_text() == before
    assert folder.beat_file.exists(), "the new holder's beat stays"


def test_attempts_show_which_workers_ended_and_which_were_killed(folder: TrialFolder) -> None:
    for ends in (True, False, True):
        with folder.lease().held():
            reporter = Reporter(folder, "train", folder.lease())
            if ends:
                reporter.end("preempted")
    with open(folder.attempts_file, "a") as file:
        file.write('{"stage": "tra')  # the next one was killed while it wrote
    assert [attempt["ended"] for attempt in folder.attempts()] == ["preempted", None, "preempted"]
    assert folder.written_status().num_starts == 3
