"""Killed at any instant, a sweep goes on from its files and ends in the same bits, with nothing run twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import (
    MINI,
    accuracy_table,
    command,
    environment,
    harness,
    records,
    scores,
    statuses,
    write_sweep,
)

LONGER = MINI.replace("num_steps: 8", "num_steps: 300").replace(
    "checkpoint_every_steps: 4", "checkpoint_every_steps: 20"
)


def start(sweep: Path, *extra: str) -> subprocess.Popen[bytes]:
    """A sweep in a process group of its own."""
    return subprocess.Popen(
        command("sweep", sweep, *extra), cwd=sweep.parent, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def workers_alive(run: Path) -> list[int]:
    """Process ids of live workers of this run."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().decode(errors="replace") if entry.name.isdigit() else ""
        except OSError:
            continue
        if "harness\0worker" in line and str(run) in line:
            found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = harness("sweep", write_sweep(folder, LONGER), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "runs/mini"


def trains(run: Path, since: float) -> bool:
    """Whether a trial without a record has reached a checkpoint after that time: it is in the midst of training."""
    files = run.glob("trials/*/checkpoint.safetensors")
    return any(file.stat().st_mtime > since and not (file.parent / "record.json").exists() for file in files)


def is_trained(run: Path, since: float) -> bool:
    return bool(records(run))


def is_measured(run: Path, since: float) -> bool:
    return any(record["costs"]["timings"] for record in records(run).values())


def always(run: Path, since: float) -> bool:
    return True


#: what a kill waits for, and how many seconds at most it comes after that: start-up, training twice, between, measuring
KILLS: list[tuple[Callable[[Path, float], bool], float]] = [
    (always, 2.0), (trains, 0.3), (trains, 0.3), (is_trained, 0.5), (is_measured, 0.5),
]  # fmt: skip


def kill_group(sweep: Path, run: Path, until: Callable[[Path, float], bool], delay: float) -> None:
    """Starts the sweep and kills launcher and workers at once, `delay` seconds after the moment waited for."""
    since = time.time()
    process = start(sweep)
    while process.poll() is None and not until(run, since):
        time.sleep(0.02)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_five_kills_of_the_whole_group_end_in_the_same_table(tmp_path: Path, undisturbed: Path) -> None:
    sweep, run, generator = write_sweep(tmp_path, LONGER), tmp_path / "runs/mini", random.Random(0)
    finished: dict[str, str] = {}
    for until, longest in KILLS:
        finished_before_the_last_kill = finished
        kill_group(sweep, run, until, generator.uniform(0, longest))
        now = {key: value["finished_at"] for key, value in records(run).items()}
        assert finished.items() <= now.items()  # no trained trial was trained again
        finished = now
    assert finished_before_the_last_kill
    last = harness("sweep", sweep, cwd=tmp_path)
    assert last.returncode == 0, last.stdout + last.stderr
    assert scores(run) == scores(undisturbed)
    assert finished.items() <= {key: value["finished_at"] for key, value in records(run).items()}.items()
    assert any(record["training"]["num_resumes"] > 0 for record in records(run).values())  # a kill hit mid-training
    assert not list(run.glob("trials/*/.*.tmp"))
    table = accuracy_table(undisturbed)
    assert any("_top1_" in column for column in table[0])
    assert accuracy_table(run) == table


def test_a_second_run_trains_nothing_and_is_quick(undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*") if path.is_file()}
    begin = time.monotonic()
    done = harness("sweep", undisturbed.parent.parent / "mini.yaml", cwd=undisturbed.parent.parent)
    assert time.monotonic() - begin < 5
    assert done.returncode == 0
    assert "0 to train, 0 to measure, 2 done before" in done.stdout
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
    assert harness("retry", run, "--status", "killed", cwd=tmp_path).stdout.startswith("1 trials")
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
    assert "the same command goes on from here" in short.stdout
    process = start(sweep)
    time.sleep(3)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) in (0, 1)
    assert harness("sweep", sweep, cwd=tmp_path).returncode == 0
    assert scores(run) == scores(undisturbed)


def test_two_sweeps_in_one_folder_do_not_meet(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, LONGER)
    process = start(sweep)
    while not (tmp_path / "runs/mini/plan.json").exists():
        time.sleep(0.05)
    second = harness("sweep", sweep, cwd=tmp_path)
    assert second.returncode == 2
    assert "another sweep command is at work" in second.stderr
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("damage", ["", "{", '{"schema_version": 99}', "\0\0\0"])
def test_a_damaged_record_is_named_and_never_taken_for_a_result(tmp_path: Path, undisturbed: Path, damage: str) -> None:
    run = tmp_path / "runs/mini"
    subprocess.run(["cp", "-r", str(undisturbed.parent.parent) + "/.", str(tmp_path)], check=True)
    record = next(iter(run.glob("trials/*/record.json")))
    record.write_text(damage)
    done = harness("sweep", tmp_path / "mini.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "record.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_status_file_loses_nothing(tmp_path: Path, undisturbed: Path) -> None:
    subprocess.run(["cp", "-r", str(undisturbed.parent.parent) + "/.", str(tmp_path)], check=True)
    for path in (tmp_path / "runs/mini").glob("trials/*/status.json"):
        path.write_text(json.dumps([1, 2]))
    done = harness("sweep", tmp_path / "mini.yaml", cwd=tmp_path)
    assert done.returncode == 0
    assert "2 done before" in done.stdout
