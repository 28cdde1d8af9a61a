"""Nodes, environments and jobs that are broken: what the user sees, and that nothing is run where it must not be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.launch.slurm import client, job
from tests.e2e import statuses
from tests.slurm.cluster import eventually
from tests.slurm.user import LONG, User

#: a package of that name that behaves as if it were not installed
MISSING = "raise ModuleNotFoundError(\"No module named 'torch'\")"


def test_a_node_where_python_cannot_start_is_seen_in_the_status_and_avoided(user: User) -> None:
    broken = '[ "$SLURMD_NODENAME" != n1 ] || export PYTHONHOME=/nowhere'
    user.ok("sweep", user.write(), "--set", f"launch.setup=['{broken}']", "--set", "launch.cpus=1")
    user.wait_for_queue()
    assert user.states() == ["queued", "queued"]  # no worker ever began
    said = user.ok("status", "runs/mini")
    assert said.count("ended on n1 with exit code 1; the sweep command submits it again") == 2
    assert "ModuleNotFoundError: No module named 'encodings'" in said
    said = user.ok("sweep", "mini.yaml", "--set", f"launch.setup=['{broken}']")
    assert "not on n1: every job there died" in said
    user.wait_for_queue()
    assert user.states() == ["done", "done"], user.story()
    assert {item["node"] for item in statuses(user.run).values()} == {"n2"}


def test_a_setup_that_exits_is_seen_and_the_only_node_is_not_to_blame(user: User) -> None:
    only_n1 = ("--set", "launch.exclude=n2", "--set", "launch.cpus=1")
    user.ok("sweep", user.write(), "--set", "launch.setup=['exit 3']", *only_n1)
    user.wait_for_queue()
    assert user.ok("status", "runs/mini").count("ended on n1 with exit code 3") == 2
    for _ in range(2):  # with other lines than before; then with the same ones, and n1 is all that is left
        said = user.ok("sweep", "mini.yaml", "--set", "launch.setup=['exit 4']", *only_n1)
        assert "2 trials submitted" in said
        assert "not on n1" not in said
        user.wait_for_queue()


def test_a_missing_package_and_a_variant_that_is_gone_show_in_the_status(user: User, held: object) -> None:
    fake = user.folder / "fake" / "torch"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text(MISSING, encoding="utf-8")
    one, two = (f"variant.temporal_window={window}" for window in (0, 1))
    user.ok("sweep", user.write(), "--only", one, "--set", f"launch.setup=['export PYTHONPATH={fake.parent}']")
    user.ok("sweep", "mini.yaml", "--only", two)
    [code] = user.run.glob("code/*")
    (code / "variants" / "mixing.py").unlink()
    user.cluster.run("scontrol", "update", "PartitionName=low", "State=UP")
    user.wait_for_queue()
    assert user.states() == ["failed", "invalid"], user.story()
    said = user.ok("status", "runs/mini")
    assert "No module named 'torch'" in said
    assert "no variant named mixing" in said
    assert "No module named 'torch'" in user.ok("logs", "runs/mini", one)
    assert "2 failed before" in user.ok("sweep", "mini.yaml")  # a failure is final until `retry`
    assert user.cluster.queue() == []


def is_importing(pid: int) -> bool:
    """Returns whether a process is submitit at its start, after `job_start` has replaced itself."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"submitit.core._submit" in words and b"harness.launch.slurm.job_start" not in words and b"srun" not in words


def test_a_signal_while_python_imports_loses_nothing(user: User) -> None:
    user.ok("sweep", user.write(LONG))
    eventually(lambda: any(map(is_importing, user.cluster.processes_of_jobs())), 20, user.story)
    user.cluster.run("scancel", "--signal=USR2", user.cluster.queue()[0].split()[0])
    eventually(lambda: "PENDING" in str(user.cluster.queue()), 30, user.story)  # requeued, not dead
    assert user.states()[0] in ("queued", "preempted")


@pytest.fixture
def submitted(user: User, held: object) -> tuple[User, Path, str]:
    """A submission that waits: who made it, its folder, the id of its first trial."""
    user.ok("sweep", user.write())
    [folder] = user.run.glob("jobs/*")
    return user, folder, json.loads((folder / "submission.json").read_text())["trials"][0][0]


def by_hand(user: User, folder: Path, *before: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Starts here what SLURM would start."""
    return subprocess.run(
        [*before, sys.executable, "-m", "harness.launch.slurm.job", str(folder), "0"], cwd=user.folder, env=user.environment | environment,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_job_that_restarts_for_ever_ends_as_failed(submitted: tuple[User, Path, str]) -> None:
    user, folder, trial = submitted
    assert by_hand(user, folder, SLURM_RESTART_COUNT="101").returncode == 1
    status = statuses(user.run)[trial]
    assert status["status"] == "failed"
    assert "restarted 100 times (launch.max_restarts)" in status["message"]


def test_a_job_leaves_trials_alone_that_are_no_longer_its_own(submitted: tuple[User, Path, str]) -> None:
    user, folder, trial = submitted
    user.ok("cancel", "runs/mini")
    done = by_hand(user, folder)
    assert "it was taken back" in done.stdout
    user.ok("sweep", "mini.yaml")  # another submission has the trial now
    done = by_hand(user, folder)
    assert f"job {statuses(user.run)[trial]['job']} has it now" in done.stdout
    assert user.states() == ["queued", "queued"]
    assert not (user.run / "trials" / trial / "attempts.jsonl").exists()


@pytest.mark.skipif(shutil.which("taskset") is None, reason="no taskset here")
def test_fewer_cpus_than_asked_for_are_said_in_log_and_status(submitted: tuple[User, Path, str]) -> None:
    user, folder, trial = submitted
    fake = user.folder / "fake" / "torch"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text(MISSING, encoding="utf-8")
    core = str(min(os.sched_getaffinity(0)))
    user.environment["PYTHONPATH"] += f"{os.pathsep}{fake.parent}"
    done = by_hand(user, folder, "taskset", "-c", core, SLURM_CPUS_PER_TASK="2")
    assert "requested 2 CPUs and is bound to 1" in done.stdout
    assert "requested 2 CPUs and is bound to 1" in statuses(user.run)[trial]["message"]
    assert "requested 2 CPUs" in (user.run / "trials" / trial / "log.txt").read_text()


def test_cores_of_a_job_are_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert job.cores() == (1, "")
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    assert job.cores() == (len(os.sched_getaffinity(0)), "")


def test_a_command_that_hangs_is_an_answer_with_a_problem(tmp_path: Path) -> None:
    hanging = tmp_path / "squeue"
    hanging.write_text("#!/bin/bash\nsleep 60\n", encoding="utf-8")
    hanging.chmod(0o755)
    assert "did not answer within 0.3 s" in client.ask(str(hanging), timeout_s=0.3).problem
    assert "No such file" in client.ask(str(tmp_path / "scancel")).problem


def test_doctor_asks_a_node(user: User) -> None:
    said = user.here("doctor", user.write())
    assert said.returncode == 0, said.stdout + said.stderr
    assert "sees" in said.stdout
    assert "all is well" in said.stdout
    said = user.here("doctor", "mini.yaml", "--set", "launch.partition=nowhere")
    assert said.returncode == 1
    assert "no partition nowhere" in said.stdout or "nvalid partition" in said.stdout
