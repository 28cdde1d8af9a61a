"""A worker process as the pool that started it sees it, and the status that it leaves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from harness import worker
from harness.launch.tasks import TrialTask
from harness.measure.process_end import num_oom_kills, status_of_exit
from harness.record import FINAL_STATUSES
from harness.store import TrialFolder, TrialStatus
from harness.text.log_files import trim


class WorkerProcess(Protocol):
    """What the pool uses of `subprocess.Popen`; a forked worker has the same."""

    pid: int

    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


@dataclass
class Running:
    """A worker that is alive. `oom_kills_before`: see `harness.measure.process_end`.

    `stop_asked` and `beat` (the last heartbeat and when the pool first saw it) are times of the pool's clock.
    """

    task: TrialTask
    process: WorkerProcess
    gpus: tuple[int, ...]
    started: float = field(default_factory=time.monotonic)
    began: float = 0.0
    stop_asked: float | None = None
    overdue: bool = False
    hangs: bool = False
    beat: tuple[float, float] | None = None
    oom_kills_before: int = field(default_factory=num_oom_kills)
    starts_before: int = -1


class Watcher(Protocol):
    """Displays what the pool does."""

    def started(self, task: TrialTask) -> None: ...
    def ended(self, task: TrialTask, status: TrialStatus) -> None: ...
    def tick(self, running: Sequence[Running], waiting: Sequence[TrialTask]) -> None: ...


def write_end(item: Running, stopping: bool, time_limit_minutes: float | None) -> TrialStatus:
    """Returns the status of a worker that ended; writes it where the worker itself wrote no final one.

    `stopping`: the pool was asked to stop.
    """
    folder = item.task.folder
    trim(folder.log_file)
    status = folder.status()
    if status.status in FINAL_STATUSES or is_locked_out(item) or wrote_its_end(item):
        return status
    # a worker that is asked to stop may end before it can handle signals, or after it ceased to
    asked = stopping or (item.stop_asked is not None and not item.hangs)
    if item.overdue:
        status.status = "timeout"
        status.message = f"took longer than {time_limit_minutes:g} minutes (launch.time_limit_minutes)"
    elif item.hangs:
        status.status = "timeout"
        status.message = "gave no sign of life (launch.stall_minutes); the log shows where each thread was"
    else:
        status.status, status.message = ("preempted", "stopped on request") if asked else _explained(item)
    write_if_possible(folder, status)
    return status


def wrote_its_end(item: Running) -> bool:
    """Returns whether a worker wrote how it ended. Its exit code does not show that: a variant may exit with any."""
    own = _own_status(item)
    return own is not None and own.status != "running"


def is_locked_out(item: Running) -> bool:
    """Returns whether a worker ended because another one has the trial. A variant may exit with the same code."""
    if item.process.returncode != worker.EXIT_LOCKED:
        return False
    return _own_status(item) is None or item.task.folder.is_held()


def _own_status(item: Running) -> TrialStatus | None:
    """Returns the status that the worker itself wrote, if it did; an older status may name the same process id."""
    written = item.task.folder.written_status()
    return written if written.pid == item.process.pid and written.num_starts > item.starts_before else None


def _explained(item: Running) -> tuple[str, str]:
    """Returns (status, message) for a worker that ended without writing a final status."""
    code = item.process.returncode or 0
    status, message = status_of_exit(code, item.oom_kills_before)
    tail = "" if code < 0 else f"; its log ends: {' | '.join(item.task.folder.log_tail(3))}"
    return status, f"the worker {message}{' before it was done' * (code == 0)}{tail}"


def write_if_possible(folder: TrialFolder, status: TrialStatus) -> None:
    """Writes a status; after an error the trial stays as its files say, and the others go on."""
    try:
        folder.write_status(status)
    except OSError as error:
        status.message += f" (and its status cannot be written: {error})"
