"""A worker is killed between two of its writes; the files alone show what is left to do."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from harness.launch.tasks import state_of
from harness.store import Store, TrialFolder
from tests.e2e import command, environment, harness
from tests.faults.events import appearances
from tests.faults.scene import results
from tests.faults.test_disk import reset


def kill_when(trial: TrialFolder, stage: str, pattern: str) -> None:
    """Runs a stage and kills it at the moment when such a file appears in its folder."""
    with appearances(trial.path) as seen:
        worker = subprocess.Popen(
            command("worker", trial.path, "--stage", stage), env=environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        seen.wait_for(pattern)
        worker.kill()
    assert worker.wait() == -signal.SIGKILL, "it came to its end before the kill"


def test_killed_between_its_writes_a_trial_is_where_its_record_says(place: Path, undisturbed: Path) -> None:
    store = Store(place / "runs/mini")
    trial = store.trial(reset(store.path))
    kill_when(trial, "train", r"\.checkpoint\.safetensors\.\d+\.tmp")
    assert state_of(trial).status == "lost"
    assert trial.stale_files(), "the kill came too late to hit the write"
    kill_when(trial, "train", r"\.record\.json\.\d+\.tmp")
    assert state_of(trial).status == "lost"
    assert not trial.record_file.exists()
    kill_when(trial, "train", r"record\.json")  # the record is there, and the status does not show it
    assert trial.written_status().status == "running"
    assert state_of(trial).status == "lost"
    trained = trial.record_file.read_bytes()
    kill_when(trial, "measure", r"\.record\.json\.\d+\.tmp")
    assert trial.record_file.read_bytes() == trained
    kill_when(trial, "measure", r"record\.json")
    assert trial.written_status().status == "running"
    assert state_of(trial).status == "done", "the record is authoritative"
    assert json.loads(trained)["training"] == json.loads(trial.record_file.read_text())["training"]
    done = harness("sweep", "mini.yaml", "--no-report", cwd=place)
    assert "0 to train, 0 to measure, 2 done" in done.stdout
    assert trial.written_status().status == "done"
    assert not trial.stale_files()
    assert results(store.path) == results(undisturbed)
    assert [attempt["ended"] for attempt in trial.attempts()] == [None] * 5


@pytest.mark.parametrize("name", ["plan.json", "config.yaml"])
def test_a_sweep_killed_while_it_plans_leaves_nothing_that_stops_the_next(place: Path, name: str) -> None:
    store = Store(place / "runs/mini")
    trial = store.trials()[0]
    folder = store.path if name == "plan.json" else trial.path
    reset(store.path)
    (folder / name).write_text("of another time")
    with appearances(folder) as seen:
        sweep = subprocess.Popen(command("sweep", "mini.yaml"), cwd=place, env=environment())
        seen.wait_for(rf"\.{name}\.\d+\.tmp")
        sweep.kill()
    assert sweep.wait() == -signal.SIGKILL
    budget = ("--time-budget", "0.01s", "--no-report")  # plans, and runs nothing
    done = harness("sweep", "mini.yaml", *budget, cwd=place)
    assert done.returncode == 1
    assert "1 trial open" in done.stdout
    assert (folder / name).read_text() != "of another time"
    assert name == "config.yaml" or not list(folder.glob(".*.tmp"))
