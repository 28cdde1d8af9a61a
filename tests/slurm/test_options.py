"""What `sweep --launch slurm` refuses before it changes anything, and what it leaves to jobs. Needs no cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from harness.cli.submission import without_jobs
from harness.launch.slurm import submission
from harness.launch.slurm.submission import Submission
from harness.launch.todo import Task
from harness.store import Store, TrialStatus
from harness.sweep.plan import PlannedTrial
from tests.e2e import write_sweep
from tests.slurm.user import Program


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--jobs", "2"], "launch.array_parallelism"), (["--time-budget", "1m"], "launch.time"), ([], "no sbatch")],
    ids=["jobs", "time budget", "no SLURM"],
)
def test_what_cannot_be_submitted_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["sweep", str(write_sweep(tmp_path)), "--launch", "slurm", "--stale", "rerun", *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_tasks_with_a_job_are_told_by_their_id(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    program("squeue", "echo 'mini.0|7|0|PENDING'")
    noted = Submission(token="0", name="mini.0", trials=[["a"], ["b"]], labels={}, code="", max_restarts=1)
    submission.write(store, noted)
    tasks = []
    for index, name in enumerate("abc"):
        store.trial(name).create({})
        store.trial(name).write_status(TrialStatus("queued", job=noted.job(index) if name != "c" else ""))
        tasks.append(Task(PlannedTrial(name, "", 0, {}, "", ""), store.trial(name), "train", 1, "cpu"))

    def compared(one: Task, other: object) -> bool:
        raise AssertionError("every task compared with every other, field by field: minutes for thousands")

    monkeypatch.setattr(Task, "__eq__", compared)
    assert [task.trial.trial_id for task in without_jobs(store, tasks)] == ["b", "c"]
