"""Unconfirmed submissions are confirmed or abandoned. Needs no cluster: squeue is a script, the files are real."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.launch.slurm import job, reconcile, submission
from harness.launch.slurm.reconcile import cancel
from harness.launch.slurm.submission import Submission
from harness.store import Store, TrialStatus
from harness.worker.signals import EXIT_DONE, EXIT_FAILED
from tests.launch.slurm.conftest import Program

TOKEN = "0123456789"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run")


def noted(store: Store, **statuses: TrialStatus) -> Submission:
    """Returns an unconfirmed submission of one job for each trial."""
    ids = [name * 12 for name in statuses]
    found = Submission(
        token=TOKEN, name=f"mini.{TOKEN}", trials=[[name] for name in ids], labels={}, code="", max_restarts=1
    )  # fmt: skip
    submission.write(store, found)
    for index, (name, status) in enumerate(zip(ids, statuses.values(), strict=True)):
        store.trial(name).create({"launch": {}})
        status.job = found.job(index)
        store.trial(name).write_status(status)
    return found


def states(store: Store) -> list[str]:
    return [folder.written_status().status for folder in store.trials()]


def test_a_final_status_stays_whatever_became_of_the_job(store: Store, program: Program) -> None:
    program("squeue", "true")
    found = noted(store, a=TrialStatus("oom"), b=TrialStatus("queued"), c=TrialStatus("running"))
    assert "its 2 trials are pending again" in reconcile.confirm(store, found)
    assert states(store) == ["oom", "pending", "pending"]
    reconcile.assign(store, found)
    assert states(store) == ["oom", "queued", "queued"]


def test_a_trial_at_work_is_neither_released_nor_assigned(store: Store) -> None:
    found = noted(store, a=TrialStatus("running"))
    with store.trial("a" * 12).lease().held():
        assert reconcile.release(store, found, ["a" * 12]) == 0
        reconcile.assign(store, found)
        assert states(store) == ["running"]


@pytest.mark.parametrize("squeue", ["true", f"printf 'mini.{TOKEN}|7|%s|FAILED\\n' 0 1"], ids=["forgotten", "ended"])
def test_ended_jobs_are_found_by_their_marks_or_by_slurm(store: Store, program: Program, squeue: str) -> None:
    program("squeue", squeue)
    found = noted(store, a=TrialStatus("oom"), b=TrialStatus("queued"))
    if squeue == "true":
        mark = store.path / "jobs" / TOKEN / "started" / "0"
        mark.mkdir()
        (mark / "0").write_text("n1 7_0\n")
    assert "as job 7 and adopted" in reconcile.confirm(store, found)
    assert [item.state for item in submission.every(store)] == ["submitted"]
    assert states(store) == ["oom", "queued"]


@pytest.mark.parametrize("job", [f"{TOKEN}/x", f"{TOKEN}/99", "../../x/0", f"{TOKEN}/00000000000", "no job", "/"])
def test_an_unknown_job_is_taken_from_its_trial(
    store: Store, program: Program, capsys: pytest.CaptureFixture[str], job: str
) -> None:
    program("scancel", f"touch '{store.path}/scancelled'")
    noted(store, a=TrialStatus("queued"))
    store.trial("a" * 12).write_status(TrialStatus("queued", job=job))
    assert cancel(store, [store.trial("a" * 12)], 0).trials == []
    assert f"{'a' * 12}: named the job {job!r}, which was never submitted" in capsys.readouterr().out
    status = store.trial("a" * 12).written_status()
    assert (status.status, status.job) == ("pending", "")
    assert not (store.path / "scancelled").exists()


def test_max_restarts_counts_restarts_not_starts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = submission.write(
        store, Submission(token=TOKEN, name="mini", trials=[[]], labels={}, code="", max_restarts=1)
    )
    for restart, code in ((0, EXIT_DONE), (1, EXIT_DONE), (2, EXIT_FAILED)):
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(restart))
        assert job.run(folder, 0) == code
