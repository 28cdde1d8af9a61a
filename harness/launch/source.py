"""Sources of tasks, and how a launcher that starts tasks elsewhere works through one.

A source generates tasks on the fly and hears which have ended: a fixed list (`FixedSource`) or a search. The local pool
runs a source itself; `drive` runs one through a `TaskStarter`, such as a cluster's queue.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from harness.errors import UserError
from harness.launch.tasks import TrialTask, state_of
from harness.record import FINAL_STATUSES


class Source(Protocol):
    """Decides what runs next from what came out."""

    @property
    def through(self) -> bool:
        """Returns whether the source is exhausted once every task that it gave has ended."""

    def next(self) -> TrialTask | None:
        """Returns the next task, or None while there is none to start."""

    def ended(self, task: TrialTask) -> None:
        """Takes note that a task has ended; its files say how."""

    def tick(self) -> None:
        """Does periodic work; called a few times a second while tasks run."""


class FixedSource:
    """Gives a list of tasks: all training first, then the measuring of what was trained, then the other measuring."""

    def __init__(self, tasks: Sequence[TrialTask]):
        self._to_train = deque(task for task in tasks if task.stage == "train")
        self._to_measure = deque(task for task in tasks if task.stage == "measure")
        self._trained: deque[TrialTask] = deque()
        self._num_training = 0

    @property
    def through(self) -> bool:
        """Returns whether every task was given and no training can add another one."""
        return not (self._to_train or self._num_training or self._trained or self._to_measure)

    def next(self) -> TrialTask | None:
        """Returns the next task; None while training has to end before anything is measured."""
        if self._to_train:
            self._num_training += 1
            return self._to_train.popleft()
        if self._num_training:
            return None
        rest = self._trained or self._to_measure
        return rest.popleft() if rest else None

    def ended(self, task: TrialTask) -> None:
        """Adds the measuring of a trial that was trained and has no timings yet."""
        if task.stage != "train":
            return
        self._num_training -= 1
        if _awaits_measuring(task):
            self._trained.append(TrialTask(task.trial, task.folder, "measure", task.num_threads, task.device))

    def tick(self) -> None:
        """Has no periodic work."""


def _awaits_measuring(task: TrialTask) -> bool:
    if not task.folder.record_file.exists():
        return False
    try:
        return state_of(task.folder).status == "queued"
    except UserError:  # a damaged record: `status` reports it, the other trials go on
        return False


class TaskStarter(Protocol):
    """Starts tasks elsewhere and reports which have ended. A task stands for its stage and all later ones."""

    def start(self, tasks: Sequence[TrialTask]) -> None:
        """Starts (or queues) tasks and returns at once."""

    def poll(self) -> list[TrialTask]:
        """Returns the tasks that ended since the last call, however they ended."""


class EndedByFiles:
    """Hands tasks to a queue and learns from the trials' files which have ended.

    `submit` queues tasks and returns at once; it must skip a trial that is in the queue already. `is_gone` says whether
    the queue has lost a trial that is not running, given its status. `needs_timings`: a trained trial ends when it is
    measured.
    """

    def __init__(
        self,
        submit: Callable[[Sequence[TrialTask]], object],
        *,
        needs_timings: bool,
        is_gone: Callable[[TrialTask, str], bool] = lambda task, status: status == "lost",
    ):
        self.submit, self.needs_timings, self.is_gone = submit, needs_timings, is_gone
        self.tasks: list[TrialTask] = []

    def start(self, tasks: Sequence[TrialTask]) -> None:
        """Queues tasks, in one call."""
        self.submit(tasks)
        self.tasks += tasks

    def poll(self) -> list[TrialTask]:
        """Returns the tasks that ended since the last call."""
        ended = [task for task in self.tasks if self._has_ended(task)]
        reported = {id(task) for task in ended}  # a task is large, and compares by all its fields
        self.tasks = [task for task in self.tasks if id(task) not in reported]
        return ended

    def _has_ended(self, task: TrialTask) -> bool:
        record = task.folder.sound_record()
        if record is not None and (record.costs.timings is not None or not self.needs_timings):
            return not task.folder.is_held()
        status = state_of(task.folder).status
        if status in FINAL_STATUSES and status != "done":
            return True
        return status != "running" and self.is_gone(task, status)


def drive(
    source: Source,
    starter: TaskStarter,
    *,
    most: int | None = None,
    poll_s: float = 2.0,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Runs a source through a starter, at most `most` tasks at once; returns False if asked to stop before the end.

    Tasks that were started continue when this returns early; the next call finds them by their files.
    """
    running: list[TrialTask] = []
    while running or not source.through:
        if should_stop():
            return False
        new: list[TrialTask] = []
        while (most is None or len(running) + len(new) < most) and (task := source.next()) is not None:
            new.append(task)
        if new:
            starter.start(new)
            running += new
        source.tick()
        ended = starter.poll()
        for task in ended:
            running.remove(task)
            source.ended(task)
        if running and not ended:
            time.sleep(poll_s)
    return True
