"""Launching what is decided on the way: a source is asked for the next task when there is room, and told what ended.

Two ways to run a source: `FedPool` on this machine, and `drive` through any launcher that starts tasks and can say
which ended (a cluster's queue), where the files of a trial say how.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from harness import worker
from harness.launch.local import LOCKED_RETRY_SECONDS, POLL_SECONDS, LocalPool, Watcher
from harness.launch.tasks import Task, state_of
from harness.record import FINAL_STATUSES
from harness.sweep.launch.config import LaunchConfig


class Source(Protocol):
    """Decides what is run next from what came out."""

    @property
    def through(self) -> bool:
        """Whether nothing more will come once everything that was given has ended."""

    def next(self) -> Task | None:
        """The next task; None: nothing for now."""

    def ended(self, task: Task) -> None:
        """A task that was given has ended; its files say how."""

    def tick(self) -> None:
        """Called a few times a second while tasks run."""


class Launcher(Protocol):
    """Starts tasks elsewhere and says which have ended. A task stands for all stages of its trial from its own on."""

    def start(self, tasks: Sequence[Task]) -> None:
        """Starts (or queues) tasks and returns at once."""

    def poll(self) -> list[Task]:
        """Tasks that ended since the last call, however they ended."""


class FedPool(LocalPool):
    """The local pool, fed by a source. Training runs side by side; a measuring task waits until it is alone."""

    def __init__(self, launch: LaunchConfig, watcher: Watcher, num_workers: int | None = None):
        super().__init__(launch, watcher, num_workers)
        self._waiting: deque[Task] = deque()
        self._not_before = 0.0

    def feed(self, source: Source, time_budget_s: float | None = None) -> bool:
        """Runs what the source gives until it is through; False if asked to stop before."""
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
            self._try_start(task, task.stage == "measure")
            if all(item.task is not task for item in self.running):
                source.ended(task)

    def _collect(self, source: Source) -> None:
        """Tells the source of every worker that ended."""
        for item in [item for item in self.running if item.process.poll() is not None]:
            self.running.remove(item)
            if item.process.returncode == worker.EXIT_LOCKED and not self.stopping:
                self._waiting.append(item.task)  # a worker of an earlier launcher still has it: look again
                self._not_before = time.monotonic() + LOCKED_RETRY_SECONDS
            else:
                self._settle(item)
                source.ended(item.task)


class EndedByFiles:
    """A launcher that hands tasks to a queue and knows nothing of its workers but their files.

    `submit` queues tasks and returns at once; it must leave alone a trial that it has in the queue already. `is_gone`
    says of a trial that is not running, with its status, whether the queue no longer has it. `needs_timings`: a trained
    trial goes on to be measured, and has ended when it was.
    """

    def __init__(
        self,
        submit: Callable[[Sequence[Task]], object],
        *,
        needs_timings: bool,
        is_gone: Callable[[Task, str], bool] = lambda task, status: status == "lost",
    ):
        self.submit, self.needs_timings, self.is_gone = submit, needs_timings, is_gone
        self.tasks: list[Task] = []

    def start(self, tasks: Sequence[Task]) -> None:
        """Queues tasks, in one call."""
        self.submit(tasks)
        self.tasks += tasks

    def poll(self) -> list[Task]:
        """Tasks that ended since the last call."""
        ended = [task for task in self.tasks if self._has_ended(task)]
        told = {id(task) for task in ended}  # a task is large, and compares by all its fields
        self.tasks = [task for task in self.tasks if id(task) not in told]
        return ended

    def _has_ended(self, task: Task) -> bool:
        record = task.folder.record()
        if record is not None and (record.costs.timings is not None or not self.needs_timings):
            return not task.folder.is_held()
        status = state_of(task.folder).status
        if status in FINAL_STATUSES and status != "done":
            return True
        return status != "running" and self.is_gone(task, status)


def drive(
    source: Source,
    launcher: Launcher,
    *,
    most: int | None = None,
    poll_s: float = 2.0,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Runs what the source gives through a launcher, `most` tasks at once; False if asked to stop before the end.

    What was started goes on when this returns early: the next call finds it by its files.
    """
    running: list[Task] = []
    while running or not source.through:
        if should_stop():
            return False
        new: list[Task] = []
        while (most is None or len(running) + len(new) < most) and (task := source.next()) is not None:
            new.append(task)
        if new:
            launcher.start(new)
            running += new
        source.tick()
        ended = launcher.poll()
        for task in ended:
            running.remove(task)
            source.ended(task)
        if running and not ended:
            time.sleep(poll_s)
    return True
