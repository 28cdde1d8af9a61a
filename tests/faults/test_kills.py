"""Killed at any instant, a sweep continues from its files and ends in the same bits; nothing runs twice."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e import (
    command,
    environment,
    harness,
    processes_with,
    records,
    scores,
    statuses,
    write_sweep,
)
from tests.faults.scene import LONGER


def start(sweep: Path, *extra: str) -> subprocess.Popen[bytes]:
    """A sweep in a process group of its own."""
    return subprocess.Popen(
        command("sweep", sweep, *extra), cwd=sweep.parent, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def workers_alive(run: Path) -> list[int]:
    """Process ids of live workers of this run."""
    return processes_with("harness\0worker", run)


def children_seconds() -> float:
    """Processor time of ended children, in seconds: what a command takes, whatever else runs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_second_run_trains_nothing_and_is_quick(undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*") if path.is_file()}
    begin = children_seconds()
    done = harness("sweep", "mini.yaml", cwd=undisturbed.parent.parent)
    assert children_seconds() - begin < 5
    assert done.returncode == 0
    assert "0 to train, 0 to measure, 2 done" in done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*") if path.is_file()}


def test_a_killed_worker_costs_its_row_and_retry_brings_it_back(tmp_path: Path, undisturbed: Path) -> None:
    sweep, run = write_sweep(tmp_path, LONGER), tmp_path / "runs/mini"
    process = start(sweep, "--jobs", "1")
    victim = None
    while victim is None:
        time.sleep(0.05)
        victim = next((key for key, status in statuses(run).items() if status["step"] > 20), None)
    os.kill(statuses(run)[victim]["pid"], signal.SIGKILL)
    assert process.wait(timeout=120) == 1
    ended = statuses(run)
    assert ended[victim]["status"] == "killed"
    assert "SIGKILL" in ended[victim]["message"]
    assert [status["status"] for key, status in ended.items() if key != victim] == ["done"]
    shown = harness("status", run, cwd=tmp_path)
    assert "1 killed" in shown.stdout
    again = harness("sweep", sweep, cwd=tmp_path)
    assert again.returncode == 1  # still failed before: it is not run again unasked
    assert victim in again.stdout
    assert harness("retry", run, "--status", "killed", cwd=tmp_path).stdout.startswith("pending again: 1 trial.")
    assert harness("sweep", sweep, cwd=tmp_path).returncode == 0
    assert scores(run) == scores(undisturbed)
    assert records(run)[victim]["training"]["num_resumes"] == 1


def test_workers_do_not_outlive_a_killed_launcher_and_the_trial_goes_on(tmp_path: Path, undisturbed: Path) -> None:
    sweep, run = write_sweep(tmp_path, LONGER), tmp_path / "runs/mini"
    process = start(sweep)
    while not any(status["step"] > 20 for status in statuses(run).values()):
        time.sleep(0.05)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while workers_alive(Path("runs/mini")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "preempted" in {status["status"] for status in statuses(run).values()}
    assert harness("sweep", sweep, cwd=tmp_path).returncode == 0
    assert scores(run) == scores(undisturbed)


def test_time_budget_and_interrupt_keep_all_progress(tmp_path: Path, undisturbed: Path) -> None:
    sweep, run = write_sweep(tmp_path, LONGER), tmp_path / "runs/mini"
    short = harness("sweep", sweep, "--time-budget", "4s", cwd=tmp_path)
    assert short.returncode == 1
    assert "the same command continues" in short.stdout
    process = start(sweep)
    while not workers_alive(Path("runs/mini")) and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) in (0, 1)
    assert harness("sweep", sweep, cwd=tmp_path).returncode == 0
    assert scores(run) == scores(undisturbed)


@pytest.mark.parametrize("damage", [b"{", b'{"schema_version": 99}', b"\xff\xfe\0"])
def test_a_damaged_record_is_named_and_never_taken_for_a_result(place: Path, damage: bytes) -> None:
    record = next(iter((place / "runs/mini").glob("trials/*/record.json")))
    record.write_bytes(damage)
    done = harness("sweep", "mini.yaml", cwd=place)
    assert done.returncode == 2
    assert "record.json" in done.stderr
    assert "Traceback" not in done.stderr
