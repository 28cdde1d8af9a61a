"""Locks and forked children: a child keeps no lock, and one that C code forked keeps it no longer than its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.store import TrialFolder, TrialStatus
from harness.store.files import exclusive_lock, is_locked, unlock_all
from harness.store.holders import holder_of


def forked_by_c() -> int:
    """Forks without Python's hooks, as a library does."""
    return int(ctypes.PyDLL(None).fork())


class Worker:
    """A process that takes a lock, forks a child that lives on, and ends; `child` is that child."""

    def __init__(self, lock: Path, fork: Callable[[], int], *, orderly: bool):
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            with exclusive_lock(lock):
                child = fork()
                if child == 0:
                    time.sleep(600)
                    os._exit(0)
                os.write(writing, str(child).encode())
                if not orderly:
                    os.kill(os.getpid(), signal.SIGKILL)
            os._exit(0)
        os.close(writing)
        self.child = int(os.read(reading, 32))
        os.close(reading)
        os.waitpid(self.pid, 0)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def run(fork: Callable[[], int], *, orderly: bool) -> Worker:
        made.append(Worker(tmp_path / ".lock", fork, orderly=orderly))
        return made[-1]

    yield run
    for worker in made:
        os.kill(worker.child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("fork", "orderly"), [(os.fork, True), (os.fork, False), (forked_by_c, True)], ids=["fork", "killed", "C, orderly"]
)
def test_a_child_that_lives_on_keeps_no_lock(
    tmp_path: Path, start: Callable[..., Worker], fork: Callable[[], int], orderly: bool
) -> None:
    start(fork, orderly=orderly)
    deadline = time.monotonic() + 10  # the child closes the lock in its own time
    while not orderly and is_locked(tmp_path / ".lock") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_locked(tmp_path / ".lock")
    assert holder_of(tmp_path / ".lock") is None


def test_a_child_that_leaves_the_block_does_not_unlock_its_parent(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with exclusive_lock(lock) as got:
        assert got
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            assert is_locked(lock)
    if not child:
        os._exit(0)
    assert not is_locked(lock)


def test_the_holder_of_a_lock_is_named_although_the_worker_that_took_it_is_gone(
    tmp_path: Path, start: Callable[..., Worker]
) -> None:
    folder = TrialFolder(tmp_path)
    worker = start(forked_by_c, orderly=False)
    folder.write_status(TrialStatus("running", pid=worker.pid))
    assert is_locked(folder.lock_file)
    status = folder.status()
    assert status.status == "lost"
    assert f"held by process {worker.child} (" in status.message
    assert os.uname().nodename in status.message


def test_a_process_that_exits_in_haste_unlocks_first(tmp_path: Path) -> None:
    with exclusive_lock(tmp_path / ".lock"):
        unlock_all()
        assert not is_locked(tmp_path / ".lock")


def test_the_worker_that_lives_is_no_leftover(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    with exclusive_lock(folder.lock_file):
        folder.write_status(TrialStatus("running", pid=os.getpid()))
        assert folder.status().status == "running"
        holder = holder_of(folder.lock_file)
        assert holder is not None
        assert holder.pid == os.getpid()
