"""A SLURM that lies: no traceback, no trial in two jobs, no endless loop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cli import main
from harness.launch.slurm import submission
from harness.store import Store
from tests.e2e import environment, statuses, write_sweep
from tests.launch.slurm.conftest import Fake, Program
from tests.launch.slurm.test_acceptance import sweep


@pytest.fixture
def run(slurm: Fake, tmp_path: Path) -> Path:
    """Two trials with a job each, in the queue."""
    assert sweep(tmp_path) == 0
    return tmp_path / "runs/mini"


@pytest.mark.parametrize(
    "squeue",
    [
        "echo lorem ipsum",
        "head -c 200 /dev/urandom",
        "echo 'slurm_load_jobs error: Unable to contact slurm controller'",
        "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2",
        "echo 'squeue: error: plugin' >&2",
        "head -n 1 {queue}; echo 'slurm_load_jobs error: Zero bytes were transmitted' >&2",
        "head -c -20 {queue}",
        "yes",
        "kill -9 $$",
        "exec 1>&-; exec 2>&-; exit 1",
        "printf '%s' '|||||'",
    ],
)
def test_nothing_is_submitted_again_while_squeue_talks_nonsense(
    slurm: Fake, program: Program, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], squeue: str
) -> None:
    program("squeue", squeue.format(queue=slurm.queue))
    for _ in range(2):
        sweep(tmp_path)
        assert main(["status", str(run)]) == 0
    assert slurm.submissions() == 1
    assert "not in SLURM any more" not in capsys.readouterr().out
    assert {item["status"] for item in statuses(run).values()} == {"queued"}


def test_an_incomplete_list_is_completed_by_id_before_anything_is_submitted_again(
    slurm: Fake, program: Program, run: Path, tmp_path: Path
) -> None:
    program("squeue", f'[[ "$*" == *--jobs=7* ]] && exec cat {slurm.queue}; head -n 1 {slurm.queue}')
    assert sweep(tmp_path) == 0
    assert slurm.submissions() == 1


def test_an_element_that_is_missing_from_its_array_is_submitted_again_a_few_times(
    slurm: Fake, program: Program, run: Path, tmp_path: Path
) -> None:
    program("squeue", f"head -n 1 {slurm.queue}")
    for _ in range(8):
        sweep(tmp_path)
    assert slurm.submissions() == 4, "one trial is in the queue, the other was never seen"
    assert sorted(item["status"] for item in statuses(run).values()) == ["invalid", "queued"]


@pytest.mark.parametrize(
    "sbatch",
    [
        "echo lorem ipsum",
        "true",
        "echo 'sbatch: error: Batch job submission failed: Invalid qos specification' >&2",
        "echo Submitted batch job",
        "echo Submitted batch job many",
        "kill -9 $$",
        "head -c 200 /dev/urandom; exit 3",
    ],
)
def test_an_sbatch_without_an_id_submits_nothing_and_says_so(
    slurm: Fake, program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str], sbatch: str
) -> None:
    program("sbatch", f'[[ "$*" == *--test-only* ]] || {{ {sbatch}; }}')
    assert sweep(tmp_path) == 2
    assert "sbatch did not accept the job" in (said := capsys.readouterr().err)
    assert said.isprintable() or "\x00" not in said
    assert {item["status"] for item in statuses(tmp_path / "runs/mini").values()} == {"pending"}


def test_an_id_that_slurm_gave_again_is_not_cancelled(
    slurm: Fake, program: Program, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program("squeue", '[[ "$*" != *--jobs=7* ]] || echo "another|7|N/A|RUNNING|None"')
    program("scancel", f'echo "$*" >> {slurm.folder}/cancelled')
    assert main(["cancel", str(run), "--wait", "1s"]) == 0
    assert not (slurm.folder / "cancelled").exists()
    assert sweep(tmp_path) == 0
    assert slurm.submissions() == 2
    assert len({item["job"] for item in statuses(run).values()}) == 2


def test_two_submissions_with_one_id_are_distinguished_by_name(slurm: Fake, run: Path, tmp_path: Path) -> None:
    """The fake always gives the id 7."""
    assert sweep(tmp_path, "--set", "seeds=2") == 0
    assert {item.job_id for item in submission.every(Store(run))} == {"7"}
    first, second = (item.name for item in submission.every(Store(run)))
    assert sweep(tmp_path, "--set", "seeds=2") == 0
    assert slurm.submissions() == 2
    slurm.queue.write_text("".join(line for line in slurm.queue.read_text().splitlines(True) if first in line))
    assert sweep(tmp_path, "--set", "seeds=2") == 0
    assert slurm.submissions() == 3, "what the second one had, and nothing else"
    assert second != first


@pytest.mark.parametrize("offset_s", [-90000.0, 90000.0])
def test_marks_and_statuses_of_nodes_with_another_clock(
    slurm: Fake, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], offset_s: float
) -> None:
    then = time.time() + offset_s
    [token] = [path.name for path in (run / "jobs").iterdir()]
    for index in (0, 1):
        for kind, text in (("started", "n1 7"), ("ended", "shell 1")):
            (run / "jobs" / token / kind / str(index)).mkdir()
            mark = run / "jobs" / token / kind / str(index) / "0"
            mark.write_text(text)
            os.utime(mark, (then, then))
    for folder in Store(run).trials():
        status = folder.written_status()
        folder.note_attempt(stage="train", began=then)
        folder.note_attempt(ended="preempted", at=then - 1)
        folder.write_status(status)
        os.utime(folder.status_file, (then, then))
    slurm.queue.write_text("")
    assert main(["status", str(run)]) == 0
    assert "ended on n1 with exit code 1" in capsys.readouterr().out
    assert sweep(tmp_path) == 0
    assert slurm.submissions() == 2


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_lost_connection_during_sbatch_leaves_nothing_unconfirmed(
    slurm: Fake, program: Program, tmp_path: Path, number: signal.Signals
) -> None:
    """The signal reaches the whole process group, as from a terminal; SLURM has the job already."""
    real = (slurm.folder / "sbatch").rename(slurm.folder / "real_sbatch")
    program("sbatch", f'[[ "$*" == *--test-only* ]] || {{ {real} "$@" > /dev/null; kill -{number.value} 0; sleep 9; }}')
    command = [sys.executable, "-m", "harness", "sweep", str(write_sweep(tmp_path)), "--launch", "slurm"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, start_new_session=True,
        check=False, preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a test under nohup ignores SIGHUP
    )  # fmt: skip
    assert done.returncode == -number, done.stdout + done.stderr
    assert "submitted array 7: 2 trials" in done.stdout
    assert [item.state for item in submission.every(Store(tmp_path / "runs/mini"))] == ["submitted"]
    assert sweep(tmp_path) == 0
    assert slurm.submissions() == 1
