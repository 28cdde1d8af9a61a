"""Trials that no job ever starts: why their jobs wait is shown, and they are submitted again a few times only."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cli import main
from harness.launch.assignment import assign, end_never_started
from harness.store import Store, TrialStatus
from harness.worker.reporter import Reporter
from tests.e2e import statuses
from tests.launch.slurm.conftest import Fake
from tests.launch.slurm.test_acceptance import sweep

BAD = "FAILED|BadConstraints"


def set_states(slurm: Fake, state: str) -> None:
    """Gives every job in the queue a state and a reason."""
    lines = ["|".join([*line.split("|")[:3], state]) for line in slurm.queue.read_text().splitlines()]
    slurm.queue.write_text("".join(f"{line}\n" for line in lines))


def run_statuses(folder: Path) -> set[str]:
    return {item["status"] for item in statuses(folder / "runs/mini").values()}


def test_after_three_more_jobs_the_trial_is_invalid_in_the_words_of_slurm_until_retry(
    slurm: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        assert sweep(tmp_path) == 0
        set_states(slurm, BAD)
        assert slurm.submissions() == number + 1
    for _ in range(3):
        capsys.readouterr()
        sweep(tmp_path)
        assert slurm.submissions() == 4
    run = str(tmp_path / "runs/mini")
    assert run_statuses(tmp_path) == {"invalid"}
    assert main(["status", run]) == 0
    said = capsys.readouterr().out
    assert said.count("4 jobs were submitted for it and none started it") == 2
    assert said.count("the last one: FAILED, BadConstraints. Correct its resources, then `retry`") == 2
    assert main(["retry", run]) == 0
    assert sweep(tmp_path) == 0
    assert slurm.submissions() == 5
    assert run_statuses(tmp_path) == {"queued"}


def test_the_command_that_ends_trials_says_so_and_exits_with_2(
    slurm: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = ("--set", "launch.max_resubmissions=0")
    assert sweep(tmp_path, *none) == 0
    set_states(slurm, BAD)
    assert sweep(tmp_path, *none) == 2
    assert "2 trials invalid now: " in (said := capsys.readouterr().err)
    assert "BadConstraints" in said
    assert slurm.submissions() == 1


def test_the_words_of_slurm_are_kept_when_it_forgets_the_job(
    slurm: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(tmp_path) == 0
    set_states(slurm, BAD)
    assert sweep(tmp_path) == 0
    set_states(slurm, "PENDING|Priority")
    assert main(["status", str(tmp_path / "runs/mini")]) == 0
    assert "submitted 2 times, and none of the jobs started it; the one before: FAILED" in capsys.readouterr().out
    for _ in range(3):
        slurm.queue.write_text("")
        sweep(tmp_path)
    assert {item["message"].partition("last one: ")[2][:22] for item in statuses(tmp_path / "runs/mini").values()} == {
        "FAILED, BadConstraints"
    }


def test_refused_and_cancelled_submissions_do_not_count(slurm: Fake, tmp_path: Path) -> None:
    slurm.refuse.write_text("sbatch: error: Socket timed out")
    for _ in range(6):
        assert sweep(tmp_path) == 2
    slurm.refuse.unlink()
    for _ in range(6):
        assert sweep(tmp_path) == 0
        assert main(["cancel", str(tmp_path / "runs/mini"), "--wait", "1s"]) == 0
    assert run_statuses(tmp_path) == {"pending"}
    assert {item["num_submissions"] for item in statuses(tmp_path / "runs/mini").values()} == {0}


def test_a_lost_worker_is_no_job_that_never_started(
    slurm: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(tmp_path) == 0
    for folder in Store(tmp_path / "runs/mini").trials():
        folder.write_status(TrialStatus("running", job=folder.written_status().job, stage="train"))
    capsys.readouterr()
    assert main(["status", str(tmp_path / "runs/mini")]) == 0
    assert "none of the jobs started it" not in (said := capsys.readouterr().out)
    assert said.count("its worker is gone") == 2


def test_a_worker_that_starts_begins_the_count_again(tmp_path: Path) -> None:
    folder = Store(tmp_path).trial("0123456789ab")
    folder.create({"launch": {}})
    folder.write_status(TrialStatus("queued", job="t/0", num_submissions=4))
    with folder.lease().held():
        assert not end_never_started(folder, 3, "said"), "a worker has it"
        Reporter(folder, "train", folder.lease())
    assert folder.written_status().num_submissions == 0
    assert assign(folder, "t/1")
    assert folder.written_status().num_submissions == 1


@pytest.mark.parametrize("state", ["PENDING|PartitionConfig", "PENDING|ReqNodeNotAvail, UnavailableNodes:n[1-2]"])
def test_why_jobs_wait_is_shown(
    slurm: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    assert sweep(tmp_path) == 0
    set_states(slurm, state)
    run, words = str(tmp_path / "runs/mini"), state.replace("|", ", ")
    capsys.readouterr()
    assert main(["status", run]) == 0
    assert capsys.readouterr().out.count(f"| in SLURM: {words}\n") == 2
    assert main(["status", run, "--json"]) == 0
    assert {json.loads(line)["reason"] for line in capsys.readouterr().out.splitlines()} == {words}

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.cli.watch.time", SimpleNamespace(sleep=interrupted))
    main(["watch", run])
    assert f"jobs: 2 {words}\n" in capsys.readouterr().out


@pytest.mark.parametrize("hanging", ["exec sleep 60", "sleep 60 & wait"])
def test_a_queue_that_hangs_costs_a_moment_and_is_reported(
    slurm: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    assert sweep(tmp_path) == 0
    (slurm.folder / "squeue").write_text(f"#!/bin/sh\n{hanging}\n")
    monkeypatch.setattr("harness.launch.overview.ANSWER_SECONDS", 0.3)
    assert main(["status", str(tmp_path / "runs/mini")]) == 0
    said = capsys.readouterr().out
    assert "SLURM did not answer: squeue did not answer within 0.3 s" in said
    assert "not in SLURM any more" not in said
    assert "trained 0/2, timed 0/2 (2 queued)\n" in said
