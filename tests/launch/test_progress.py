"""The lines that a sweep prints: trained and timed trials, the time left, and that workers are starting."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.launch import progress
from harness.launch.tasks import TrialTask
from harness.launch.workers import Running
from harness.store import TrialFolder, TrialStatus


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test moves."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def task(folder: Path, number: int, stage: str = "train") -> TrialTask:
    path = folder / str(number)
    path.mkdir(exist_ok=True)
    trial: Any = SimpleNamespace(trial_id=str(number), label=f"row {number}", seed=0)
    return TrialTask(trial, TrialFolder(path), stage, 1, "cpu")


def running(of: TrialTask) -> Running:
    worker: Any = SimpleNamespace()
    return Running(of, worker, ())


def test_the_first_line_says_that_workers_start(
    tmp_path: Path, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [task(tmp_path, number) for number in range(2)]
    lines = progress.PlainLines(tasks, num_done=3)
    lines.started(tasks[0])
    lines.tick([running(tasks[0])], tasks[1:])
    assert capsys.readouterr().out == "trained 3/5, timed 3/5 (starting workers)\n"
    lines.tick([running(tasks[0])], tasks[1:])
    assert capsys.readouterr().out == ""
    tasks[0].folder.write_status(TrialStatus("running", stage="train", step=4, num_steps=8))
    clock[0] += progress.LINE_EVERY_SECONDS + 1
    lines.tick([running(tasks[0])], tasks[1:])
    assert capsys.readouterr().out == "trained 3/5, timed 3/5 (1 running): row 0, seed 0 step 4/8\n"


def test_trained_and_timed_trials_are_counted_apart(
    tmp_path: Path, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [task(tmp_path, 0), task(tmp_path, 1), task(tmp_path, 2, "measure")]
    lines = progress.PlainLines(tasks)
    for one in tasks[:2]:
        lines.started(one)
    clock[0] += 60
    lines.ended(tasks[0], TrialStatus("queued", "trained; to be measured", loss=0.0))
    assert capsys.readouterr().out == "trained   row 0, seed 0 (loss 0.000)  [trained 2, timed 0 of 3]\n"
    assert lines.counts.line([running(tasks[1])]) == "trained 2/3, timed 0/3 (1 running), about 1:15 left"
    lines.ended(tasks[1], TrialStatus("failed", "first\nsecond"))
    assert capsys.readouterr().out == "failed    row 1, seed 0: first second  [trained 2, timed 0 of 3]\n"
    measured = task(tmp_path, 0, "measure")
    lines.started(measured)
    clock[0] += 10
    lines.ended(measured, TrialStatus("done"))
    assert capsys.readouterr().out == "done      row 0, seed 0  [trained 2, timed 1 of 3]\n"


def test_no_time_is_given_before_a_training_has_ended(tmp_path: Path, clock: list[float]) -> None:
    tasks = [task(tmp_path, 0), task(tmp_path, 1, "measure")]
    counts = progress.Counts(tasks)
    counts.started(tasks[1])
    counts.ended(tasks[1], TrialStatus("done"))
    assert counts.seconds_left(1) is None
    assert counts.line([running(tasks[0])]) == "trained 1/2, timed 1/2 (1 running)"
