"""A bounded pool of worker processes on this machine.

Trials train side by side, each with the threads and processes of its configuration, and never more threads than cores
(two workers with two threads each on two cores are 8x slower than one after the other), or with a GPU for each
process. One trial at a time is measured, after all training.
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
from pathlib import Path
from types import FrameType
from typing import Any

from harness.errors import UserError
from harness.launch import snapshot
from harness.launch.local.limits import GRACE_SECONDS, Limits, LockWaits
from harness.launch.local.starter import Starter
from harness.launch.local.workers import Running, Watcher, is_locked_out, write_end
from harness.launch.source import FixedSource, Source
from harness.launch.tasks import TrialTask
from harness.store import TrialStatus
from harness.sweep.launch.config import LaunchConfig
from harness.worker.processes import Orphans, subreaping
from harness.worker.signals import handled_signals, leave_terminal

POLL_SECONDS = 0.1


def num_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def visible_gpus() -> list[int]:
    """Returns the indices of the GPUs that workers may use."""
    import torch

    return list(range(torch.cuda.device_count()))


class LocalPool:
    """Runs tasks to their end; a worker that dies costs its own trial and nothing else."""

    def __init__(
        self, launch: LaunchConfig, watcher: Watcher, num_workers: int | None = None, code: Path = snapshot.OWN.path
    ):
        self.launch = launch
        self.watcher = watcher
        self.num_workers = num_workers or launch.num_workers
        self.cores = num_cores()
        self.alone = True  # nothing but this pool works on the machine
        self.starter = Starter(launch.warm_workers, code)
        self.orphans = Orphans()
        self.limits = Limits(launch)
        self.locked = LockWaits(launch, self.limits.clock)
        self.running: list[Running] = []
        self.stopping = False
        self._gpus: list[int] | None = None
        self._waiting: deque[TrialTask] = deque()

    def run(self, tasks: Sequence[TrialTask], time_budget_s: float | None = None) -> bool:
        """Trains what is to be trained, then measures; returns False if it was asked to stop before the end.

        Raises: UserError for trials that want a GPU where there is none.
        """
        self._check_gpus(max((task.num_processes for task in tasks if task.device == "cuda"), default=0))
        return self.feed(FixedSource(tasks), time_budget_s)

    def feed(self, source: Source, time_budget_s: float | None = None) -> bool:
        """Runs a source until it is exhausted; returns False if it was asked to stop before the end.

        Training runs side by side; a measuring task waits until it is alone.
        """
        deadline = None if time_budget_s is None else time.monotonic() + time_budget_s
        with subreaping() as reaps, self._stoppable():
            self.starter.warm = self.starter.warm and reaps
            while self.running or self._waiting or self.locked.tasks or not source.through:
                self.stopping = self.stopping or (deadline is not None and time.monotonic() > deadline)
                if self.stopping and not self.running:
                    break
                if not self.stopping:
                    self._fill(source)
                self._collect(source)
                self.limits.enforce(self.running, self.stopping)
                self.orphans.end(self._known())
                source.tick()
                self.watcher.tick(self.running, [*self._waiting, *self.locked.tasks])
                if self.running or self._waiting or self.locked.tasks:
                    time.sleep(POLL_SECONDS)
        return not self.stopping

    def _fill(self, source: Source) -> None:
        """Starts tasks while they fit."""
        self._waiting.extend(self.locked.free())
        while True:
            if not self._waiting:
                task = source.next()
                if task is None:
                    return
                self._waiting.append(task)
            alone = self._waiting[0].stage == "measure" or any(item.task.stage == "measure" for item in self.running)
            if not self._fits(self._waiting[0], alone) or self.starter.is_starting(self._waiting[0]):
                return
            task = self._waiting.popleft()
            if not self._try_start(task, task.stage == "measure"):
                source.ended(task)

    def _collect(self, source: Source) -> None:
        """Reports every worker that ended to the source; retries a trial that another worker has later."""
        for item in [item for item in self.running if item.process.poll() is not None]:
            self.running.remove(item)
            self.orphans.ended(item.process.pid)
            if is_locked_out(item) and not self.stopping:
                self.locked.add(item.task)
            else:
                status = write_end(item, self.stopping, self.launch.time_limit_minutes)
                self.watcher.ended(item.task, status)
                source.ended(item.task)
        for task, status in self.locked.given_up():
            self.watcher.ended(task, status)
            source.ended(task)

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Lets signals ask the pool to stop; leaves no worker behind, however it ends."""
        handled = handled_signals()
        before: dict[int, Any] = {number: signal.signal(number, self._ask_to_stop) for number in handled}
        if handled and signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:
            before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._suspend)
        mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)  # now that they have a handler
        try:
            yield
        finally:
            self._kill_rest()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _check_gpus(self, wanted: int) -> None:
        """Raises: UserError where torch sees fewer GPUs than the trial with the most processes on GPUs needs."""
        have = len(self._free_gpus()) if wanted else 0
        if wanted and not have:
            raise UserError("train.device: cuda given, but torch sees no CUDA device here; cpu or auto is possible")
        if wanted > have:
            raise UserError(f"train.num_processes: {wanted} given, each with a GPU; torch sees {have} here")

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            leave_terminal()
        if not self.stopping:
            print("stopping: running trials save their checkpoints", file=sys.stderr, flush=True)
        self.stopping = True

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        """Suspends the workers too when the terminal suspends this process (Ctrl-Z), and wakes them with it."""
        for signal_to_all in (signal.SIGSTOP, signal.SIGCONT):
            for item in self.running:
                item.process.send_signal(signal_to_all)
            if signal_to_all == signal.SIGSTOP:
                os.kill(os.getpid(), signal.SIGSTOP)

    def _fits(self, task: TrialTask, alone: bool) -> bool:
        """Returns whether the task may start now alongside those that run."""
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

    def _try_start(self, task: TrialTask, alone: bool) -> bool:
        """Starts a worker; returns False where that fails: a folder that is gone or read-only costs only its trial."""
        try:
            self._start(task, alone)
        except OSError as error:
            self.watcher.ended(task, TrialStatus(status="failed", message=f"the worker could not be started: {error}"))
            return False
        return True

    def _start(self, task: TrialTask, alone: bool) -> None:
        gpus = tuple(self._free_gpus()[: task.num_processes]) if task.device == "cuda" else ()
        starts_before = task.folder.written_status().num_starts
        process = self.starter.start(task, gpus, alone and self.alone)
        self.running.append(Running(task, process, gpus, starts_before=starts_before))
        self.watcher.started(task)

    def _known(self) -> set[int]:
        """Returns the process ids of workers and servers: all other children that come from them are orphans."""
        return {item.process.pid for item in self.running} | self.starter.pids

    def _kill_rest(self) -> None:
        """Ends what is left: orphans, and the workers after an exception in the pool itself."""
        for item in self.running:
            item.process.terminate()
        for item in self.running:
            try:
                item.process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                item.process.kill()
                item.process.wait()
            self.orphans.ended(item.process.pid)
        self.running.clear()
        self.orphans.end_all(self._known())
        self.starter.close()


def _num_cores(task: TrialTask) -> int:
    """Returns the number of cores that a task keeps busy."""
    return task.num_threads * task.num_processes
