"""Refusals of `sweep --launch slurm` before it changes anything, and trials that it leaves to jobs or for later. Needs no cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from harness.launch.launchers import launcher, without_owned
from harness.launch.slurm import submission
from harness.launch.slurm.submission import Submission
from harness.launch.tasks import TrialTask
from harness.store import Store, TrialStatus
from harness.sweep.plan import PlannedTrial
from tests.e2e import MINI, write_sweep
from tests.launch.slurm.conftest import Program


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


def test_tasks_with_a_job_are_distinguished_by_their_id(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    program("squeue", "echo 'mini.0|7|0|PENDING'")
    noted = Submission(token="0", name="mini.0", trials=[["a" * 12], ["b" * 12]], labels={}, code="", max_restarts=1)
    submission.write(store, noted)
    tasks = []
    for index, name in enumerate(["a" * 12, "b" * 12, "c" * 12]):
        store.trial(name).create({})
        store.trial(name).write_status(TrialStatus("queued", job=noted.job(index) if index < 2 else ""))
        tasks.append(TrialTask(PlannedTrial(name, "", 0, {}, "", ""), store.trial(name), "train", 1, "cpu"))

    def compared(one: TrialTask, other: object) -> bool:
        raise AssertionError("every task compared with every other, field by field: minutes for thousands")

    monkeypatch.setattr(TrialTask, "__eq__", compared)
    assert [task.trial.trial_id for task in without_owned(store, tasks, launcher("local"))] == ["b" * 12, "c" * 12]


SBATCH = """
[[ "$*" != *--test-only* ]] || exit 0
[[ "$(tail -n 1 {jobs})" -ge 5 ]] 2>/dev/null && {{ echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1; }}
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "${{@: -1}}"); number=$((${{last:-0}} + 1))
[[ $number -le 5 ]] || {{ echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1; }}
echo $number >> {jobs}; echo "Submitted batch job 7"
"""


def test_a_limit_on_submitted_jobs_is_no_error(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = tmp_path / "jobs"
    program("sbatch", SBATCH.format(jobs=jobs))
    for name in ("squeue", "srun", "scontrol", "sinfo"):
        program(name, "true")
    monkeypatch.chdir(tmp_path)
    text = MINI.replace("seeds: 1", "seeds: 10")
    assert main(["sweep", str(write_sweep(tmp_path, text)), "--launch", "slurm"]) == 0
    assert "5 trials submitted" in (said := capsys.readouterr().out)
    assert "15 trials wait: sbatch did not accept the job" in said
    assert "QOSMaxSubmitJobPerUserLimit" in said
    states = [folder.written_status().status for folder in Store(tmp_path / "runs" / "mini").trials()]
    assert (states.count("queued"), states.count("pending")) == (5, 15)
    assert jobs.read_text().split() == ["5"]
