"""The line of progress: trained and timed trials, what happens now, and the time left. Nothing trains here."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli import main
from harness.launch.display.progress import PlainLines
from harness.launch.display.time_left import seconds_left
from harness.launch.overview import Standing, standings, summary, with_time_left
from harness.launch.tasks import TrialTask, find_todo
from harness.store import TrialFolder, TrialStatus, exclusive_lock
from tests.launch.slurm.conftest import planned
from tests.tune.simulated import SimulatedResult, record_of


def standing(folder: Path, status: str, *, trained: bool = False, **written: Any) -> Standing:
    """Returns a trial with attempts of 100 s of training and 10 s of timing, as far as it got."""
    trial = TrialFolder(folder / str(len(list(folder.iterdir()))))
    trial.create({})
    for stage, seconds in (("train", 100.0), ("measure", 10.0)):
        if trained and (stage == "train" or status == "done"):
            trial.note_attempt(stage=stage, began=1000.0)
            trial.note_attempt(ended="done", at=1000.0 + seconds)
    return Standing(trial, "row", "0", status, "", TrialStatus(status, **written), trained or status == "done")


def test_the_time_left_counts_what_is_to_train_and_to_time(tmp_path: Path) -> None:
    done, trained = (standing(tmp_path, status, trained=True) for status in ("done", "queued"))
    half = standing(tmp_path, "running", stage="train", step=5, num_steps=10)
    waiting, failed = standing(tmp_path, "pending"), standing(tmp_path, "failed")
    found = [done, trained, half, waiting, failed]
    assert seconds_left(found) == pytest.approx(150 + 30)  # one at once; three are to be timed
    two = [*found, standing(tmp_path, "running", stage="train", step=5, num_steps=10)]
    assert seconds_left(two) == pytest.approx(200 / 2 + 40)
    assert seconds_left([done, trained, waiting]) is None, "nothing runs"
    assert seconds_left(found, timed=False) == pytest.approx(150)


def test_before_the_first_trial_is_trained_the_speed_of_its_steps_counts(tmp_path: Path) -> None:
    first = standing(tmp_path, "running", stage="train", step=2, num_steps=10, num_starts=1)
    assert seconds_left([first]) is None
    first.folder.note_attempt(stage="train", began=time.time() - 20)
    assert seconds_left([first], timed=False) == pytest.approx(80, rel=0.1)
    for wrong in (time.time() + 5000, "yesterday", None):  # another clock, a damaged line
        first.folder.attempts_file.unlink()
        first.folder.note_attempt(stage="train", began=wrong)
        assert seconds_left([first]) is None


def test_status_counts_trained_and_timed_trials_and_names_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, store, tasks = planned(tmp_path)
    with exclusive_lock(store.lock_file):
        line = with_time_left(*summary(store, list(standings(store, plan.to_file()))))
    assert line == "trained 0/2, timed 0/2 (2 pending, starting workers)"
    capsys.readouterr()
    assert main(["status", str(store.path)]) == 0
    assert capsys.readouterr().out.count(", seed 0: waits for the sweep command\n") == 2
    first, second = (task.folder for task in tasks)
    for folder, task in zip((first, second), tasks, strict=True):
        folder.create({"trial": {}, "launch": {}})
        folder.write_status(TrialStatus("failed", message="for a reason"))
        if folder is first:
            record = record_of(task, SimulatedResult())
            costs = record.costs.model_copy(update={"timings": None})
            folder.write_record(record.model_copy(update={"scores": {**record.scores, "test": {}}, "costs": costs}))
            folder.write_status(TrialStatus("queued"))
    capsys.readouterr()
    assert main(["status", str(store.path)]) == 0
    said = capsys.readouterr().out
    assert "mini: trained 1/2, timed 0/2 (1 queued, 1 failed)\n" in said
    for name, why in ((first.trial_id, "trained; to be measured"), (second.trial_id, "for a reason")):
        [line] = [line for line in said.splitlines() if name in line]
        assert line.endswith(why)


def test_a_sweep_shows_the_line_of_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, store, _ = planned(tmp_path)
    train, other = find_todo(plan, store).tasks
    shown = PlainLines([train, other], num_done=3, num_failed=1)
    shown.started(train)
    assert "starting workers: trained 3/6, timed 3/6\n" in capsys.readouterr().out
    shown.clock.begun[train.trial.trial_id, "train"] -= 60
    worker: Any = SimpleNamespace(task=other)
    shown.tick([worker], [])
    shown.ended(train, TrialStatus("queued"))
    assert "[trained 4/6, timed 3/6, about 1:10 left]\n" in capsys.readouterr().out
    shown.ended(other, TrialStatus("failed", message="why"))
    assert "why  [trained 4/6, timed 3/6, about" in capsys.readouterr().out
    shown.ended(TrialTask(train.trial, train.folder, "measure", 1, "cpu"), TrialStatus("done"))
    assert "[trained 4/6, timed 4/6, about" in capsys.readouterr().out
