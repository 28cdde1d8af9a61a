"""A worker process as the pool that started it sees it, and the status that it leaves."""

from __future__ import annotations

import subprocess
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


@dataclass
class Running:
    """A worker that is alive. `oom_kills_before`: see `harness.measure.process_end`."""

    task: TrialTask
    process: subprocess.Popen[bytes]
    gpus: tuple[int, ...]
    started: float = field(default_factory=time.monotonic)
    stop_asked: float | None = None
    overdue: bool = False
    oom_kills_before: int = field(default_factory=num_oom_kills)


class Watcher(Protocol):
    """Displays what the pool does."""

    def started(self, task: TrialTask) -> None: ...
    def ended(self, task: TrialTask, status: TrialStatus) -> None: ...
    def tick(self, running: Sequence[Running], waiting: Sequence[TrialTask]) -> None: ...


def write_end(item: Running, stopping: bool, time_limit_minutes: float | None) -> TrialStatus:
    """Returns the status of a worker that ended; writes it where the worker itself wrote no final one.

    `stopping`: the pool was asked to stop.
    """
    folder, code = item.task.folder, item.process.returncode
    trim(folder.log_file)
    status = folder.status()
    if item.overdue and status.status not in FINAL_STATUSES:
        status.status = "timeout"
        status.message = f"took longer than {time_limit_minutes:g} minutes (launch.time_limit_minutes)"
        _write_if_possible(folder, status)
    elif code not in (worker.EXIT_DONE, worker.EXIT_PREEMPTED) and status.status not in FINAL_STATUSES:
        # a worker that is asked to stop may end before it can handle signals, or after it ceased to
        asked = stopping or item.stop_asked is not None
        status.status, status.message = ("preempted", "stopped on request") if asked else _explained(item)
        _write_if_possible(folder, status)
    return status


def _explained(item: Running) -> tuple[str, str]:
    """Returns (status, message) for a worker that ended without writing a final status."""
    status, message = status_of_exit(item.process.returncode, item.oom_kills_before)
    tail = "" if item.process.returncode < 0 else f"; its log ends: {' | '.join(item.task.folder.log_tail(3))}"
    return status, f"the worker {message}{tail}"


def _write_if_possible(folder: TrialFolder, status: TrialStatus) -> None:
    """Writes a status; after an error the trial stays as its files say, and the others go on."""
    try:
        folder.write_status(status)
    except OSError as error:
        status.message += f" (and its status cannot be written: {error})"
