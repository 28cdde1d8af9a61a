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

from harness import worker
from harness.errors import UserError
from harness.launch import snapshot
from harness.launch.source import FixedSource, Source
from harness.launch.tasks import TrialTask
from harness.launch.workers import Running, Watcher, write_end
from harness.store import TrialStatus
from harness.sweep.launch.config import LaunchConfig
from harness.text.log_files import trim
from harness.worker.signals import STOP_SIGNALS, blocked_stop_signals, can_handle_signals

POLL_SECONDS = 0.1
GRACE_SECONDS = 20.0  # between the request to stop and SIGKILL
LOCKED_RETRY_SECONDS = 1.0


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
        self.code = code  # what workers import
        self.cores = num_cores()
        self.alone = True  # nothing but this pool works on the machine
        self.leading: list[str] = []  # more arguments of a training worker whose other ranks start elsewhere
        self.running: list[Running] = []
        self.stopping = False
        self._gpus: list[int] | None = None
        self._waiting: deque[TrialTask] = deque()
        self._not_before = 0.0

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
        with self._stoppable():
            while self.running or self._waiting or not source.through:
                self.stopping = self.stopping or (deadline is not None and time.monotonic() > deadline)
                if self.stopping and not self.running:
                    break
                if not self.stopping:
                    self._fill(source)
                self._collect(source)
                self._enforce_limits()
                source.tick()
                self.watcher.tick(self.running, self._waiting)
                if self.running or self._waiting:
                    time.sleep(POLL_SECONDS)
        return not self.stopping

    def _fill(self, source: Source) -> None:
        """Starts tasks while they fit."""
        while time.monotonic() >= self._not_before:
            if not self._waiting:
                task = source.next()
                if task is None:
                    return
                self._waiting.append(task)
            alone = self._waiting[0].stage == "measure" or any(item.task.stage == "measure" for item in self.running)
            if not self._fits(self._waiting[0], alone):
                return
            task = self._waiting.popleft()
            if not self._try_start(task, task.stage == "measure"):
                source.ended(task)

    def _collect(self, source: Source) -> None:
        """Reports every worker that ended to the source; retries a trial that another worker has later."""
        for item in [item for item in self.running if item.process.poll() is not None]:
            self.running.remove(item)
            if item.process.returncode == worker.EXIT_LOCKED and not self.stopping:
                self._waiting.append(item.task)
                self._not_before = time.monotonic() + LOCKED_RETRY_SECONDS
            else:
                status = write_end(item, self.stopping, self.launch.time_limit_minutes)
                self.watcher.ended(item.task, status)
                source.ended(item.task)

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Lets signals ask the pool to stop; leaves no worker behind, however it ends."""
        handled = STOP_SIGNALS if can_handle_signals() else ()
        before = {number: signal.signal(number, self._ask_to_stop) for number in handled}
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
        if not self.stopping:
            print("stopping: running trials save their checkpoints", file=sys.stderr, flush=True)
        self.stopping = True

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
        environment = os.environ | snapshot.environment(self.code)
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

    def _enforce_limits(self) -> None:
        """Asks overdue workers to stop, or all of them when the pool stops; kills them after a grace period."""
        now, limit = time.monotonic(), self.launch.time_limit_minutes
        for item in self.running:
            trim(item.task.folder.log_file)  # a worker that prints without end must not fill the disk
            item.overdue = item.overdue or (limit is not None and now - item.started > 60 * limit)
            if (item.overdue or self.stopping) and item.stop_asked is None:
                item.process.terminate()
                item.stop_asked = now
            elif item.stop_asked is not None and now - item.stop_asked > GRACE_SECONDS:
                item.process.kill()

    def _kill_rest(self) -> None:
        """Ends the workers that are left after an exception in the pool itself."""
        for item in self.running:
            item.process.terminate()
        for item in self.running:
            try:
                item.process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                item.process.kill()
        self.running.clear()


def _num_cores(task: TrialTask) -> int:
    """Returns the number of cores that a task keeps busy."""
    return task.num_threads * task.num_processes


def _gpu_name(index: int) -> str:
    """Returns the worker's CUDA_VISIBLE_DEVICES for the index-th GPU that this process may see."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return given.split(",")[index].strip() if given else str(index)
