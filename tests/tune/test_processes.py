"""Searches with real workers: they resume after any kill, and a bad trial is pruned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from harness.launch.source import EndedByFiles, drive
from harness.launch.tasks import TrialTask
from harness.worker.pruning import read_reports
from tests.e2e import command, environment, harness, records, statuses, write_sweep
from tests.tune.simulated import SWEEP, controller_of, plan_of

SMALL = SWEEP.replace("num_trials: 6", "num_trials: 2").replace("parallel: 1", "parallel: 2").replace("seeds: 2", "seeds: 1").replace(
    "num_steps: 100", "num_steps: 60"
) + "measure: {batch_size: 2, min_samples: 3, max_seconds: 0.05}\nlaunch: {checkpoint_every_steps: 10}\n"  # fmt: skip
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def studies(run: Path) -> list[list[FrozenTrial]]:
    """Reads the trials of each study with plain optuna."""
    storage = JournalStorage(JournalFileBackend(str(run / "optuna.journal")))
    names = optuna.get_all_study_names(storage)
    return [optuna.load_study(study_name=name, storage=storage).trials for name in names]


def start(sweep: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command("sweep", sweep), cwd=sweep.parent, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def training(run: Path) -> list[dict[str, Any]]:
    """Returns the statuses of tuning trials that are training."""
    return [status for status in statuses(run / "tuning").values() if status["status"] == "running" and status["step"]]


def test_worker_and_controller_killed_the_budget_is_exact_and_nothing_finished_runs_twice(tmp_path: Path) -> None:
    sweep, run = write_sweep(tmp_path, SMALL), tmp_path / "runs/mini"
    planned = harness("sweep", sweep, "--dry-run", cwd=tmp_path).stdout
    assert "first a search of 2 trials for each of 2 rows" in planned
    assert "mixing: over train.learning_rate, variant.temporal_window" in planned
    process = start(sweep)
    wait_for(lambda: training(run), process)
    os.kill(training(run)[0]["pid"], signal.SIGKILL)  # the worker: its trial fails and is proposed again
    wait_for(lambda: len(records(run / "tuning")) >= 1, process)
    wait_for(lambda: training(run), process)
    os.killpg(process.pid, signal.SIGKILL)  # controller and workers, while a trial runs
    process.wait()
    finished = {key: value["finished_at"] for key, value in records(run / "tuning").items()}
    done = harness("sweep", sweep, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    now = {key: value["finished_at"] for key, value in records(run / "tuning").items()}
    assert finished.items() <= now.items()
    assert finished
    for trials in studies(run):
        assert sum(trial.state == TrialState.COMPLETE for trial in trials) == 2
        assert all(trial.state in ENDED for trial in trials)
    failed = [trial for trials in studies(run) for trial in trials if trial.state == TrialState.FAIL]
    assert [trial.user_attrs["ended"] for trial in failed if trial.params] == ["lost"]
    again = [trial for trials in studies(run) for trial in trials if trial.user_attrs.get("again_of") is not None]
    assert [trial.params for trial in again] == [trial.params for trial in failed if trial.params]
    assert len(now) == 4
    assert all(list(record["scores"]) == ["val"] for record in records(run / "tuning").values())
    assert all(list(record["scores"]) == ["val", "test"] for record in records(run).values())
    report = (run / "report/tuning.md").read_text()
    assert report.count("**chosen**") == 2
    assert "## mixing: 2 of 2" in report
    before = {path: path.stat().st_mtime_ns for path in run.glob("**/record.json")}
    assert (
        harness("sweep", sweep, cwd=tmp_path).returncode == 0
    )  # the search has ended: nothing is proposed or run again
    assert before == {path: path.stat().st_mtime_ns for path in run.glob("**/record.json")}
    assert harness("clean", run, "--checkpoints", "--yes", cwd=tmp_path).returncode == 0  # also those of the search
    assert list(run.rglob("checkpoint.safetensors")) == []
    assert before == {path: path.stat().st_mtime_ns for path in run.glob("**/record.json")}


def detached(tasks: Sequence[TrialTask]) -> None:
    """Starts detached workers, as a cluster's queue does."""
    for task in tasks:
        with open(task.folder.log_file, "ab") as log:
            words = [sys.executable, "-m", "harness", "worker", str(task.folder.path), "--stage", task.stage]
            subprocess.Popen(words, env=environment(), stdout=log, stderr=log)


HOPELESS = """
question: Is a hopeless trial stopped?
data: {name: moving_shapes, task: static, num_train: 512, num_val: 100, num_test: 40}
model: {embed_dim: 16, depth: 1, num_heads: 2, num_frames: 4, crop_size: 12}
train: {num_steps: 600, batch_size: 8, device: cpu, learning_rate: 0.003}
variant: joint
tune:
  num_trials: 2
  parallel: 1
  sampler: random
  pruner: median
  num_unpruned_trials: 1
  prune_after_steps: 100
  report_every_steps: 50
  space: {train.learning_rate: {choices: [0.003, 1.0e-8]}}
"""


def test_a_hopeless_trial_is_pruned_during_training(tmp_path: Path) -> None:
    """The first proposal is the good value of the file; with this sampler seed, the second one is the hopeless value."""
    controller = controller_of(plan_of(tmp_path, HOPELESS, "tune.seed=1"), tmp_path)
    launcher = EndedByFiles(detached, needs_timings=False)
    assert drive(controller, launcher, poll_s=0.05)
    good, bad = controller.studies[0].trials()
    assert [trial.params["train.learning_rate"] for trial in (good, bad)] == [0.003, 1e-8]
    assert (good.state, bad.state) == (TrialState.COMPLETE, TrialState.PRUNED)
    folder = controller.store.trial(bad.user_attrs["trial_id"])
    status = folder.status()
    assert status.status == "pruned"
    assert 100 <= status.step < 600
    assert folder.record() is None
    steps = [step for step, _ in read_reports(folder)]
    assert steps == list(range(50, steps[-1] + 1, 50))
    assert status.step - 50 <= steps[-1] <= status.step  # it may receive the request to stop just before a report
    assert controller.studies[0].num_counted == 2
