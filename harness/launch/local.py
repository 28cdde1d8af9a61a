"""A bounded pool of worker processes on this machine.

Training runs side by side, each trial with the threads and processes of its configuration and never more threads than
cores (two workers with two threads each on two cores are 8x slower than one after the other), or with a GPU for each
process. Timing comes after all training, one trial at a time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol

from harness import worker
from harness.errors import UserError
from harness.launch.tasks import Task, state_of
from harness.record import FINAL_STATUSES
from harness.store import TrialFolder, TrialStatus
from harness.sweep.launch.config import LaunchConfig
from harness.worker.signals import STOP_SIGNALS, blocked_stop_signals

POLL_SECONDS = 0.1
GRACE_SECONDS = 20.0  # between the request to stop and SIGKILL
LOCKED_RETRY_SECONDS = 1.0


@dataclass
class Running:
    """A worker that is alive."""

    task: Task
    process: subprocess.Popen[bytes]
    gpus: tuple[int, ...]
    started: float = field(default_factory=time.monotonic)
    stop_asked: float | None = None
    overdue: bool = False


class Watcher(Protocol):
    """Sees what the pool does; a progress display."""

    def started(self, task: Task) -> None: ...
    def ended(self, task: Task, status: TrialStatus) -> None: ...
    def tick(self, running: Sequence[Running], waiting: Sequence[Task]) -> None: ...


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def visible_gpus() -> list[int]:
    """Indices of the GPUs that workers may be given."""
    import torch

    return list(range(torch.cuda.device_count()))


class LocalPool:
    """Runs tasks to their end; a worker that dies costs its own trial and nothing else."""

    def __init__(self, launch: LaunchConfig, watcher: Watcher, num_workers: int | None = None):
        self.launch = launch
        self.watcher = watcher
        self.num_workers = num_workers or launch.num_workers
        self.cores = num_cores()
        self.alone = True  # nothing but this pool is at work on the machine
        self.leading: list[str] = []  # more arguments of a worker that trains: its other ranks are started elsewhere
        self.running: list[Running] = []
        self.stopping = False
        self._gpus: list[int] | None = None

    def run(self, tasks: Sequence[Task], time_budget_s: float | None = None) -> bool:
        """Trains what is to be trained, then measures; returns False if it was asked to stop before the end.

        Raises: UserError for trials that want a GPU where there is none.
        """
        self._check_gpus(max((task.num_processes for task in tasks if task.device == "cuda"), default=0))
        deadline = None if time_budget_s is None else time.monotonic() + time_budget_s
        with self._stoppable():
            to_train = [task for task in tasks if task.stage == "train"]
            trained = self._drain(to_train, deadline, alone=False)
            to_measure = [task for task in trained if state_of(task.folder).status != "done"]  # some need no timing
            to_measure += [task for task in tasks if task.stage == "measure"]
            self._drain(to_measure, deadline, alone=True)
        return not self.stopping

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Signals ask the pool to stop; however it ends, no worker is left behind."""
        before = {number: signal.signal(number, self._ask_to_stop) for number in STOP_SIGNALS}
        mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # now that they have a handler
        try:
            yield
        finally:
            self._kill_rest()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _check_gpus(self, wanted: int) -> None:
        """Whether the trial with the most processes on GPUs gets as many."""
        have = len(self._free_gpus()) if wanted else 0
        if wanted and not have:
            raise UserError("train.device: cuda given, but torch sees no CUDA device here; cpu or auto is possible")
        if wanted > have:
            raise UserError(f"train.num_processes: {wanted} given, each with a GPU; torch sees {have} here")

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        if not self.stopping:
            print("stopping: running trials save their checkpoints", file=sys.stderr, flush=True)
        self.stopping = True

    def _drain(self, tasks: Sequence[Task], deadline: float | None, *, alone: bool) -> list[Task]:
        """Runs all tasks; returns those of training that succeeded, as tasks to measure."""
        waiting, succeeded = deque(tasks), list[Task]()
        not_before = 0.0
        while waiting or self.running:
            if deadline is not None and time.monotonic() > deadline:
                self.stopping = True
            if self.stopping:
                waiting.clear()
            while waiting and time.monotonic() >= not_before and self._fits(waiting[0], alone):
                self._try_start(waiting.popleft(), alone)
            for item in [item for item in self.running if item.process.poll() is not None]:
                self.running.remove(item)
                if item.process.returncode == worker.EXIT_LOCKED and not self.stopping:
                    waiting.append(item.task)  # a worker of an earlier launcher still has it: look again
                    not_before = time.monotonic() + LOCKED_RETRY_SECONDS
                elif self._settle(item):
                    succeeded.append(
                        Task(item.task.trial, item.task.folder, "measure", item.task.num_threads, item.task.device)
                    )
            self._enforce_limits()
            self.watcher.tick(self.running, waiting)
            if self.running or waiting:
                time.sleep(POLL_SECONDS)
        return succeeded

    def _fits(self, task: Task, alone: bool) -> bool:
        """Whether the task may start now beside what is running."""
        if not self.running:
            return True
        if alone or (self.num_workers and len(self.running) >= self.num_workers):
            return False
        if task.device == "cuda":
            return len(self._free_gpus()) >= task.num_processes
        return sum(_num_cores(item.task) for item in self.running) + _num_cores(task) <= self.cores

    def _free_gpus(self) -> list[int]:
        if self._gpus is None:
            self._gpus = visible_gpus()
        taken = {gpu for item in self.running for gpu in item.gpus}
        return [gpu for gpu in self._gpus if gpu not in taken]

    def _try_start(self, task: Task, alone: bool) -> None:
        """Starts a worker; a folder that is gone or cannot be written costs this trial and no other."""
        try:
            self._start(task, alone)
        except OSError as error:
            self.watcher.ended(task, TrialStatus(status="failed", message=f"the worker could not be started: {error}"))

    def _start(self, task: Task, alone: bool) -> None:
        environment = dict(os.environ)
        environment |= {name: str(task.num_threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        environment["PYTHONUNBUFFERED"] = "1"
        gpus = tuple(self._free_gpus()[: task.num_processes]) if task.device == "cuda" else ()
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(_gpu_name(gpu) for gpu in gpus)
        command = [sys.executable, "-m", "harness", "worker", str(task.folder.path), "--stage", task.stage]
        command += self.leading if task.stage == "train" else []
        command += ["--parent", str(os.getpid()), *(["--alone"] if alone and self.alone else [])]
        with open(task.folder.log_file, "ab") as log, blocked_stop_signals():
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.running.append(Running(task, process, gpus))
        self.watcher.started(task)

    def _settle(self, item: Running) -> bool:
        """Writes the last word on a worker that ended; True if its stage succeeded."""
        folder, code = item.task.folder, item.process.returncode
        status = folder.status()
        if item.overdue and status.status not in FINAL_STATUSES:
            status.status = "timeout"
            status.message = f"took longer than {self.launch.time_limit_minutes:g} minutes (launch.time_limit_minutes)"
            _note(folder, status)
        elif code not in (worker.EXIT_DONE, worker.EXIT_PREEMPTED) and status.status not in FINAL_STATUSES:
            # asked to stop, a worker may end before it can handle signals, or after it ceased to
            asked = self.stopping or item.stop_asked is not None
            status.status, status.message = ("preempted", "stopped on request") if asked else self._unexplained(item)
            _note(folder, status)
        self.watcher.ended(item.task, status)
        return code == worker.EXIT_DONE and item.task.stage == "train" and not item.overdue

    def _unexplained(self, item: Running) -> tuple[str, str]:
        """(status, message) of a worker that ended without a word of its own."""
        code, tail = item.process.returncode, " | ".join(item.task.folder.log_tail(3))
        if code < 0:
            name = signal.Signals(-code).name
            cause = " (out of memory, perhaps)" if -code == signal.SIGKILL else ""
            return "killed", f"the worker was ended by {name}{cause}"
        return "failed", f"the worker ended with exit code {code}; its log ends: {tail}"

    def _enforce_limits(self) -> None:
        """Asks workers to stop that are overdue, or all of them when the pool stops; insists after a while."""
        now, limit = time.monotonic(), self.launch.time_limit_minutes
        for item in self.running:
            item.overdue = item.overdue or (limit is not None and now - item.started > 60 * limit)
            if (item.overdue or self.stopping) and item.stop_asked is None:
                item.process.terminate()
                item.stop_asked = now
            elif item.stop_asked is not None and now - item.stop_asked > GRACE_SECONDS:
                item.process.kill()

    def _kill_rest(self) -> None:
        """After an exception in the pool itself: no worker is left behind."""
        for item in self.running:
            item.process.terminate()
        for item in self.running:
            try:
                item.process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                item.process.kill()
        self.running.clear()


def _num_cores(task: Task) -> int:
    """Cores that a task keeps busy."""
    return task.num_threads * task.num_processes


def _note(folder: TrialFolder, status: TrialStatus) -> None:
    """Writes a status; where that is not possible the trial stays as its files say, and the others go on."""
    try:
        folder.write_status(status)
    except OSError as error:
        status.message += f" (and its status cannot be written: {error})"


def _gpu_name(index: int) -> str:
    """The worker's CUDA_VISIBLE_DEVICES for the index-th GPU that we ourselves may see."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return given.split(",")[index].strip() if given else str(index)
