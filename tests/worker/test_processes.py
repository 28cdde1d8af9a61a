"""Processes that a worker leaves are ended, those of the program around the pool are not; signals that stop a worker."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.worker import processes
from harness.worker.processes import POOL_VARIABLE, Orphans, subreaping
from harness.worker.reporter import LeaseLost
from harness.worker.signals import STOP_SIGNALS, StopRequest, handled_signals, leave_terminal

#: prints the id of a process that left the session, and ends before it
LEAVES_A_CHILD = "setsid sleep 600 > /dev/null 2>&1 & echo $!"


def leftover(environment: dict[str, str]) -> int:
    """Returns the id of a process whose parent has ended."""
    done = subprocess.run(["sh", "-c", LEAVES_A_CHILD], env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_what_a_worker_leaves_is_ended_and_other_children_are_not() -> None:
    with subreaping() as works:
        assert works
        ours = leftover({**os.environ, POOL_VARIABLE: str(os.getpid())})
        others = leftover({key: value for key, value in os.environ.items() if key != POOL_VARIABLE})
        known = leftover({**os.environ, POOL_VARIABLE: str(os.getpid())})
        assert {ours, others, known} <= set(processes.children_of(os.getpid()))
        Orphans().end_all(known={known})
        assert not is_alive(ours)
        for pid in (others, known):
            assert is_alive(pid)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert not processes.is_subreaper()


def test_one_that_ignores_the_request_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.2)
    with subreaping():
        stubborn = subprocess.Popen(
            ["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"], start_new_session=True, env={"PATH": "/usr/bin:/bin"}
        )  # fmt: skip
        orphans = Orphans()
        orphans.ended(stubborn.pid)  # of the session of a worker that has ended
        orphans.end_all(known=set())
        assert not is_alive(stubborn.pid)


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_each_stop_signal_asks_a_worker_to_stop(handlers: None, number: signal.Signals) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    stop = StopRequest()
    assert not stop()
    os.kill(os.getpid(), number)
    assert stop()


def test_a_sweep_under_nohup_outlives_its_terminal(handlers: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert signal.SIGHUP not in handled_signals()
    StopRequest()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_forked_copy_of_a_worker_ends_and_obeys_signals(handlers: None) -> None:
    stop = StopRequest()
    reading, writing = os.pipe()
    copy = os.fork()
    if copy == 0:
        try:
            stop()
        except LeaseLost:
            os.write(writing, b"x")
            time.sleep(60)
        os._exit(3)
    assert os.read(reading, 1) == b"x"
    os.kill(copy, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == -signal.SIGTERM


def test_after_the_end_of_the_terminal_printing_is_no_error() -> None:
    child = os.fork()
    if child == 0:
        controller, terminal = os.openpty()
        os.dup2(terminal, 1)
        os.close(terminal)
        os.close(controller)  # the terminal is gone
        leave_terminal()
        try:
            os.write(1, b"stopping")
            os._exit(0)
        except OSError:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
