"""What every launcher does: `Launcher`, and the values that it takes and returns."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from harness.launch.doctor import Finding
from harness.launch.snapshot import OWN, Snapshot
from harness.launch.source import Source
from harness.launch.tasks import Todo
from harness.nn.config import StrictConfig
from harness.store import Store, TrialFolder
from harness.sweep.launch.config import LaunchConfig
from harness.sweep.plan import Plan

Log = Callable[[str], None]


_seconds_left: ContextVar[float] = ContextVar("seconds_left", default=float("inf"))


@contextmanager
def answers_within(seconds: float) -> Iterator[None]:
    """Allows so many seconds for all questions to queues and other machines within a block, see `asking`."""
    token = _seconds_left.set(min(_seconds_left.get(), seconds))
    try:
        yield
    finally:
        _seconds_left.reset(token)


@contextmanager
def asking(at_most: float) -> Iterator[float]:
    """Yields the seconds that a question to a queue or another machine, asked within the block, may take now.

    Launchers use it as the timeout of their commands, so that none of them makes `status` or `watch` hang.
    """
    began = time.monotonic()
    try:
        yield min(at_most, _seconds_left.get())
    finally:
        _seconds_left.set(max(0.0, _seconds_left.get() - (time.monotonic() - began)))


@dataclass(frozen=True)
class LaunchRequest:
    """What one command asks of a launcher.

    `code` is what the trials have to run from, a copy once something is started: see `harness.launch.snapshot`.
    `num_workers` and `time_budget_s` are the options of `sweep` of that name (None: not given). `cancel_dropped` ends
    the jobs of trials that the plan no longer has.
    """

    plan: Plan
    store: Store
    code: Snapshot = OWN
    num_workers: int | None = None
    time_budget_s: float | None = None
    cancel_dropped: bool = False


@dataclass
class Owners:
    """Ids of trials that a worker or a job has (`taken`), or may have (`unknown`, because of a `problem`).

    `reasons`: trial id -> what the queue says of its job, in the queue's own words.
    """

    taken: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    problem: str = ""
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass
class Cancelled:
    """Ids of trials whose jobs were ended (`trials`), and of those that go on.

    `shared`: their job has other trials too. `elsewhere`: a sweep command on some machine runs them. `problem`: why a
    job could not be ended. `num_ending`: jobs that were not gone in time.
    """

    trials: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    problem: str = ""
    num_ending: int = 0

    def add(self, other: Cancelled) -> None:
        """Adds what became of other trials."""
        self.trials += other.trials
        self.shared += other.shared
        self.elsewhere += other.elsewhere
        self.problem = "; ".join(filter(None, [self.problem, other.problem]))
        self.num_ending += other.num_ending


@dataclass(frozen=True)
class JobState:
    """What is known of a trial's job.

    `text`: 'started on n1', empty before it started. `warning`: why the job will not bring its trial forward, empty
    where it may; `log_tail`: its last lines then.
    """

    text: str = ""
    warning: str = ""
    log_tail: Sequence[str] = ()


class NoOptions(StrictConfig):
    """For launchers without options."""


class Launcher(ABC):
    """Starts trials somewhere and reports on them. It has no state: everything is read from the files of a run.

    A launcher of an outside package is an entry point of the group `harness.launchers`, e.g.
    `ssh = "my_package.ssh:SshLauncher"`; its name is then allowed in `launch.where` and `--launch`. It starts each
    stage of a trial as `python -m harness worker FOLDER --stage train|measure`, or whole trials on behalf of a job as
    `python -m harness job`. `harness.launch.queued.QueueLauncher` is a launcher but for three methods;
    `harness.launch.testing.LauncherSuite` checks one.
    """

    name: ClassVar[str]
    """As in `launch.where`; the jobs that trials name are `NAME:...`."""
    title: ClassVar[str]
    """As in messages to users."""
    Options: ClassVar[type[StrictConfig]] = NoOptions
    """Fields of `launch.options.NAME`, checked when the sweep is planned."""
    detaches: ClassVar[bool] = False
    """Returns whether `run` returns while trials still wait and run."""

    def options(self, launch: LaunchConfig) -> StrictConfig:
        """Returns the launcher's own fields of a `launch` block."""
        return self.Options.model_validate(launch.options.get(self.name, {}))

    def check(self, request: LaunchRequest, *, will_start: bool) -> None:  # noqa: B027 (most have nothing to refuse)
        """Refuses what this launcher cannot do, before anything is written. `will_start`: some trial is open.

        Raises: UserError.
        """

    @abstractmethod
    def run(self, request: LaunchRequest, todo: Todo) -> bool:
        """Runs the open tasks, or hands them over if it detaches; returns False if it was stopped before the end.

        The caller holds the run's lock. Raises: UserError.
        """

    @abstractmethod
    def search(self, request: LaunchRequest, source: Source) -> bool:
        """Runs the tasks of a search; returns False if it was stopped before the end. The caller holds the lock."""

    def owners(self, store: Store, folders: Sequence[TrialFolder]) -> Owners:
        """Returns which trials a job of this launcher still has. Only trials that name one are passed."""
        return Owners()

    def cancel(self, store: Store, folders: Sequence[TrialFolder], wait_s: float, log: Log) -> Cancelled:
        """Ends the jobs of open trials and waits at most `wait_s` seconds for their end. What is trained is kept.

        Trials that had not started become pending; one that runs writes a checkpoint and is preempted.
        """
        return Cancelled()

    def describe(self, store: Store, job: str) -> JobState:
        """Returns what is known of a job, from files alone."""
        return JobState()

    def logs(self, store: Store, job: str) -> list[Path]:
        """Returns the logs of a job itself; those of its trials lie in their folders."""
        return []

    def doctor(self, launch: LaunchConfig, runs: Path, wait_s: float) -> Iterator[Finding]:
        """Checks what this launcher needs; may wait `wait_s` seconds for a free machine."""
        yield from ()
