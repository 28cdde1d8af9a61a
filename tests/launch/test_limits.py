"""Limits of the pool: time, silence, locks that do not become free, signals at a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.launch.local import limits
from harness.launch.local.limits import Limits, LockWaits
from harness.launch.local.pool import LocalPool
from harness.launch.local.workers import Running, is_locked_out, write_end, wrote_its_end
from harness.launch.source import FixedSource
from harness.launch.tasks import TrialTask
from harness.store import TrialFolder, TrialStatus, exclusive_lock
from harness.sweep.launch.config import LaunchConfig
from harness.worker import EXIT_LOCKED


class FakeClock:
    """A clock that a test sets, in seconds."""

    now = 1.0

    def tick(self) -> None: ...

    def seconds(self) -> float:
        return self.now


class Ends:
    """Collects what the pool reports."""

    def __init__(self) -> None:
        self.found: list[TrialStatus] = []

    def started(self, task: TrialTask) -> None: ...

    def ended(self, task: TrialTask, status: TrialStatus) -> None:
        self.found.append(status)

    def tick(self, running: Sequence[Running], waiting: Sequence[TrialTask]) -> None: ...


class Scripts:
    """Starts a Python script instead of a worker."""

    warm = False
    pids: frozenset[int] = frozenset()

    def __init__(self, script: str):
        self.script = script

    def is_starting(self, task: TrialTask) -> bool:
        return False

    def start(self, task: TrialTask, gpus: Sequence[int], alone: bool) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-S", "-c", self.script], start_new_session=True)

    def close(self) -> None: ...


@pytest.fixture
def task(tmp_path: Path) -> TrialTask:
    trial: Any = SimpleNamespace(trial_id="x")
    folder = TrialFolder(tmp_path / "x")
    folder.create({"launch": {}})
    return TrialTask(trial, folder, "train", 1, "cpu")


def pool(script: str, **launch: Any) -> tuple[LocalPool, Ends]:
    ends = Ends()
    made = LocalPool(LaunchConfig(**launch), ends)
    made.starter = Scripts(script)  # type: ignore[assignment]
    return made, ends


@pytest.fixture
def later() -> Iterator[Any]:
    """Returns a function that sends a signal to this process in half a second."""
    timers = []

    def send(number: int) -> None:
        timers.append(threading.Timer(0.5, os.kill, (os.getpid(), number)))
        timers[-1].start()

    yield send
    for timer in timers:
        timer.cancel()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_signal_to_the_pool_reaches_workers_in_their_own_sessions(
    task: TrialTask, later: Any, number: signal.Signals
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    made, ends = pool("import time; time.sleep(600)")
    later(number)
    assert not made.feed(FixedSource([task]))
    assert [(status.status, status.message) for status in ends.found] == [("preempted", "stopped on request")]
    signal.signal(signal.SIGHUP, before)


def test_a_worker_that_takes_too_long_is_a_timeout(task: TrialTask) -> None:
    made, ends = pool("import time; time.sleep(600)", time_limit_minutes=0.3 / 60)
    made.feed(FixedSource([task]))
    assert [status.status for status in ends.found] == ["timeout"]
    assert "launch.time_limit_minutes" in ends.found[0].message


def test_a_lock_that_a_leftover_process_keeps_is_not_waited_for_for_ever(
    task: TrialTask, capsys: pytest.CaptureFixture[str]
) -> None:
    made, ends = pool(f"raise SystemExit({EXIT_LOCKED})", stall_minutes=0.2 / 60)
    with exclusive_lock(task.folder.lock_file):
        made.feed(FixedSource([task]))
    assert "x waits for its lock, held by process" in capsys.readouterr().err
    assert ends.found[0].status == task.folder.written_status().status == "timeout"
    assert f"held by process {os.getpid()}" in ends.found[0].message


def test_a_trial_waits_for_the_worker_that_has_it_and_not_for_a_leftover(task: TrialTask) -> None:
    clock = FakeClock()
    waits = LockWaits(LaunchConfig(stall_minutes=1, time_limit_minutes=10), clock)  # type: ignore[arg-type]
    with exclusive_lock(task.folder.lock_file):
        task.folder.write_status(TrialStatus("running", pid=os.getpid()))
        waits.add(task)
        clock.now += 300
        assert waits.free() == waits.given_up() == []
        clock.now += 400
        (given_up,) = waits.given_up()
        assert "waited 11.7 minutes" in given_up[1].message
        assert task.folder.written_status().status == "running", "the worker that has it writes its status"
    waits.add(task)
    clock.now += 10
    assert waits.free() == [task]
    assert waits.tasks == []


def test_a_worker_without_a_heartbeat_prints_its_stacks_and_ends(
    task: TrialTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BEAT_SECONDS", 0.0)
    clock, sent = FakeClock(), []
    process: Any = SimpleNamespace(pid=os.getpid(), send_signal=sent.append, kill=lambda: sent.append(signal.SIGKILL))
    item = Running(task, process, ())
    guard = Limits(LaunchConfig(stall_minutes=1))
    guard.clock = clock  # type: ignore[assignment]
    for second in range(50):
        clock.now += 2
        task.folder.beat_file.touch()
        os.utime(task.folder.beat_file, (second, second))
        guard.enforce([item], stopping=False)
    assert sent == []
    for _ in range(60):
        clock.now += 2
        guard.enforce([item], stopping=False)
    assert sent[0] == signal.SIGABRT
    assert item.hangs
    assert sent[1:]
    assert set(sent[1:]) == {signal.SIGKILL}


def test_the_terminal_suspends_workers_with_the_pool(task: TrialTask, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = pool("")
    sent: list[object] = []
    process: Any = SimpleNamespace(send_signal=sent.append)
    made.running = [Running(task, process, ())]
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    made._suspend(signal.SIGTSTP, None)
    assert sent == [signal.SIGSTOP, (os.getpid(), signal.SIGSTOP), signal.SIGCONT]


def test_a_trial_whose_worker_has_just_ended_is_not_given_up(task: TrialTask) -> None:
    clock = FakeClock()
    waits = LockWaits(LaunchConfig(stall_minutes=1), clock)  # type: ignore[arg-type]
    with exclusive_lock(task.folder.lock_file):
        task.folder.write_status(TrialStatus("running", pid=os.getpid()))
        waits.add(task)
        clock.now += 900
        assert waits.given_up() == []
    task.folder.write_status(TrialStatus("queued", "trained; to be measured"))
    assert waits.given_up() == []
    assert task.folder.written_status().status == "queued"
    assert waits.free() == [task]
    with exclusive_lock(task.folder.lock_file):
        waits.add(task)
        assert waits.given_up() == [], "the second wait is a new one"


@pytest.mark.parametrize("has_written", [False, True])
def test_an_old_status_with_the_same_process_id_is_not_the_workers_own(task: TrialTask, has_written: bool) -> None:
    task.folder.write_status(TrialStatus("preempted", pid=4711, num_starts=2))
    process: Any = SimpleNamespace(pid=4711, returncode=EXIT_LOCKED)
    item = Running(task, process, (), starts_before=2)
    if has_written:
        task.folder.write_status(TrialStatus("failed", pid=4711, num_starts=3))
    assert wrote_its_end(item) is has_written


def test_a_variant_that_exits_with_the_code_of_a_lock_is_not_started_again_and_again(task: TrialTask) -> None:
    process: Any = SimpleNamespace(pid=4711, returncode=EXIT_LOCKED)
    item = Running(task, process, (), starts_before=0)
    assert is_locked_out(item)
    task.folder.write_status(TrialStatus("running", pid=4711, num_starts=1))
    assert not is_locked_out(item)
    assert write_end(item, False, None).status == "failed"
    task.folder.write_status(TrialStatus("running", pid=4711, num_starts=1))
    with exclusive_lock(task.folder.lock_file):
        assert is_locked_out(item), "it lost the lock to another worker"
