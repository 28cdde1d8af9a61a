"""Searches and jobs against a SLURM of shell scripts; needs no cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import UserError
from harness.launch.overview import StrandedDetector, standings
from harness.launch.slurm import search
from harness.launch.slurm.search import Arrays
from harness.launch.snapshot import OWN
from harness.launch.tasks import TrialTask
from harness.store import Store, exclusive_lock
from tests.launch.slurm.conftest import Fake, planned
from tests.tune.simulated import SWEEP as SEARCH

AWAY = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"


def start_and_poll(arrays: Arrays, tasks: Sequence[TrialTask]) -> None:
    arrays.start(tasks)
    arrays.poll()


def test_a_search_outlasts_a_controller_that_is_away(
    slurm: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search, "FIRST_WAIT_SECONDS", 0.0)
    plan, store, tasks = planned(tmp_path)
    arrays = Arrays(plan, store, OWN)
    slurm.refuse.write_text(AWAY)
    arrays.start(tasks)
    assert "Retrying for 10 minutes" in capsys.readouterr().out
    assert arrays.poll() == []  # no task counts as ended
    slurm.refuse.unlink()
    slurm.away.touch()
    assert arrays.poll() == []
    slurm.away.unlink()
    assert arrays.poll() == []
    assert len(slurm.queue.read_text().splitlines()) == 2, "submitted once, when SLURM was back"
    slurm.queue.write_text("")
    arrays._next_question = 0.0
    assert arrays.poll() == list(tasks), "jobs that are gone have ended"


def test_a_search_waits_at_a_limit_of_jobs_until_some_have_ended(
    slurm: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(search, "PATIENCE_SECONDS", -1.0)  # SLURM answers, so its patience does not matter
    plan, store, tasks = planned(tmp_path)
    arrays = Arrays(plan, store, OWN)
    slurm.refuse.write_text("sbatch: error: QOSMaxSubmitJobPerUserLimit")
    for _ in range(3):
        start_and_poll(arrays, tasks if not arrays.tasks else [])
    assert {task.folder.written_status().status for task in tasks} == {"pending"}
    slurm.refuse.unlink()
    assert arrays.poll() == []
    assert {task.folder.written_status().status for task in tasks} == {"queued"}


@pytest.mark.parametrize(("said", "patience"), [("invalid partition specified: nope", 600.0), (AWAY, -1.0)])
def test_a_search_ends_where_sbatch_refuses_for_good_or_is_away_for_too_long(
    slurm: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, patience: float
) -> None:
    monkeypatch.setattr(search, "FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(search, "PATIENCE_SECONDS", patience)
    plan, store, tasks = planned(tmp_path)
    arrays = Arrays(plan, store, OWN)
    slurm.refuse.write_text(said)
    with pytest.raises(UserError, match="pending again"):
        start_and_poll(arrays, tasks)
    assert {task.folder.written_status().status for task in tasks} == {"pending"}


@pytest.fixture
def orphaned(slurm: Fake, tmp_path: Path) -> Path:
    """A search whose controller was killed: nothing is chosen, its two trials are queued; and a plan that lags."""
    plan, _, tasks = planned(tmp_path)
    run = tmp_path / "runs/tune"
    Store(run).write_plan(replace(plan, rows=[], trials=[], baseline_row=None).to_file())
    searched = Store(run / "tuning")
    moved = [replace(task, folder=searched.trial(task.trial.trial_id)) for task in tasks]
    Arrays(plan, searched, OWN).start(moved)
    searched.write_plan(replace(plan, rows=plan.rows[:1], baseline_row=None).to_file())
    assert len(slurm.queue.read_text().splitlines()) == 2
    return run


def test_an_orphaned_search_is_shown_and_cancelled_at_its_run(
    slurm: Fake, orphaned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = Store(orphaned / "tuning").plan().rows
    (trial,) = row.trials.values()
    assert main(["status", str(orphaned)]) == 0
    assert "its search: trained 0/1 (1 queued)\n" in (said := capsys.readouterr().out)
    assert trial in said
    assert main(["logs", str(orphaned), trial[:6]]) == 0
    assert "not started" in capsys.readouterr().out
    assert main(["cancel", str(orphaned)]) == 0
    assert "2 trials of the search cancelled" in capsys.readouterr().out
    assert slurm.queue.read_text() == ""


def test_no_cancel_alongside_a_controller(orphaned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with exclusive_lock(orphaned / "tuning/.lock"):
        assert main(["cancel", str(orphaned)]) == 2
    assert "a sweep command is running" in capsys.readouterr().err


def test_a_search_holds_the_lock_of_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = tmp_path / "search.yaml"
    sweep.write_text(SEARCH, encoding="utf-8")
    runs = tmp_path / "runs"
    with exclusive_lock(runs / "search/tuning/.lock"):
        assert main(["sweep", str(sweep), "--runs", str(runs)]) == 2
    assert "another command is running" in capsys.readouterr().err


def queued(folder: Path) -> Path:
    """A run whose two trials have a job."""
    plan, store, tasks = planned(folder)
    Arrays(plan, store, OWN).start(tasks)
    return store.path


def test_a_job_that_was_cancelled_outside_is_reported_and_not_awaited(
    slurm: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(queued(tmp_path))
    assert main(["status", run]) == 0
    assert "not in SLURM" not in capsys.readouterr().out
    slurm.queue.write_text("")
    assert main(["status", run]) == 0
    assert capsys.readouterr().out.count("not in SLURM any more; the sweep command submits it again") == 2
    slurm.away.touch()
    assert main(["status", run]) == 0
    assert "not in SLURM" not in capsys.readouterr().out, "a squeue that does not answer changes nothing"
    slurm.away.unlink()
    assert main(["watch", run, "--interval", "1s"]) == 1
    assert "2 of them had a job that SLURM does not have any more" in capsys.readouterr().out


def test_watch_waits_while_a_job_or_a_launcher_is_there(slurm: Fake, tmp_path: Path) -> None:
    store = Store(queued(tmp_path))
    detector = StrandedDetector()
    assert not detector.is_stranded([(store, found := list(standings(store, store.plan())))])
    slurm.queue.write_text("")
    with exclusive_lock(store.lock_file):
        assert not any(StrandedDetector().is_stranded([(store, found)]) for _ in range(3))
    detector = StrandedDetector()
    assert [detector.is_stranded([(store, found)]) for _ in range(2)] == [False, True]


def test_watch_ends_for_pending_trials_that_nothing_will_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, store, _ = planned(tmp_path)
    assert main(["watch", str(store.path), "--interval", "1s"]) == 1
    assert "2 open trials are stranded: no launcher, worker or job has them.\n" in capsys.readouterr().out
