"""Runs a source of tasks (a search) through job arrays: what is asked for is submitted, files say what ended."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.launch.feed import EndedByFiles, Source, drive
from harness.launch.slurm.reconcile import Queue, ask_queue
from harness.launch.slurm.submit import submit
from harness.launch.tasks import Task
from harness.store import Store
from harness.sweep.plan import Plan

AT_ONCE = 8  # trials, where neither tune.parallel nor launch.array_parallelism says: a search learns from what ended
LOOK_SECONDS = 10.0  # between questions to squeue: trials say themselves how they ended, it only knows the silent ones
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 5.0, 60.0  # before trying again, doubled from the first to the longest
PATIENCE_SECONDS = 600.0  # with a SLURM that does not answer: a controller restarts within minutes
#: what sbatch and squeue say when SLURM itself is away or busy; any other refusal comes again however often one asks
TRANSIENT = re.compile(
    "unable to contact|did not answer|once squeue answers|timed? ?out|temporar|try again|connection|communication"
    "|zero bytes|backup controller|standby|too busy|send/recv",
    re.IGNORECASE,
)


class Arrays(EndedByFiles):
    """The submitting side of a search in one store, and what SLURM says of its jobs.

    While SLURM does not answer, or has no room for more jobs, tasks wait here and those that run are told of as ever.
    """

    def __init__(self, plan: Plan, store: Store, variant_dirs: Sequence[Path], *, needs_timings: bool = False):
        super().__init__(self._put, needs_timings=needs_timings, is_gone=self._is_gone)
        self.plan, self.store, self.variant_dirs = plan, store, variant_dirs
        self.queue = Queue()
        self.waiting: list[Task] = []
        self._next_look = self._next_try = 0.0
        self._wait_s = FIRST_WAIT_SECONDS
        self._silent_since: float | None = None

    def poll(self) -> list[Task]:
        """Tasks that ended since the last call; tries again to submit those that wait."""
        self._hand_over()
        return super().poll()

    def _put(self, tasks: Sequence[Task]) -> None:
        self.waiting += tasks
        self._hand_over()

    def _hand_over(self) -> None:
        """Submits what waits and has no job, unless it is too early to ask again.

        Raises: UserError where sbatch refuses for good, or nobody could tell for too long.
        """
        if time.monotonic() < self._next_try:
            return
        self.waiting = [task for task in self.waiting if not self._has_ended(task)]  # of a job that was in doubt
        if not self.waiting:
            return
        problem = self._try_to_submit()
        self._next_look = 0.0
        self.waiting = [task for task in self.waiting if problem or not task.folder.written_status().job]
        if not self.waiting:
            self._wait_s, self._silent_since = FIRST_WAIT_SECONDS, None
            return
        self._be_patient(problem)
        self._next_try = time.monotonic() + self._wait_s
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_SECONDS)

    def _try_to_submit(self) -> str:
        """What kept SLURM from answering; empty where it did."""
        try:
            outcome = submit(self.plan, self.store, self.waiting, self.variant_dirs, partly=True)
        except UserError as error:
            if not TRANSIENT.search(str(error)):
                raise
            return str(error)
        if not outcome.unknown:
            return ""
        return f"{outcome.unknown} trials of the search have a job of which SLURM says nothing ({outcome.problem})."

    def _be_patient(self, problem: str) -> None:
        """Says once that SLURM is silent. Raises: UserError where it was silent for too long."""
        if not problem:  # it answers, and has no room: that passes when jobs end
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = time.monotonic()
            print(f"{problem} Trying again for {PATIENCE_SECONDS / 60:g} minutes.", flush=True)
        elif time.monotonic() - self._silent_since > PATIENCE_SECONDS:
            raise UserError(f"{problem} Run the same command again once squeue answers; jobs go on meanwhile.")

    def _is_gone(self, task: Task, status: str) -> bool:
        """Whether SLURM answers, and has no job of a trial that does not run."""
        if any(task is other for other in self.waiting):
            return False
        if time.monotonic() >= self._next_look:
            self.queue = ask_queue(self.store)
            self._next_look = time.monotonic() + LOOK_SECONDS
        return not self.queue.problem and task.folder.written_status().job not in self.queue.live


def run_search(
    plan: Plan, store: Store, variant_dirs: Sequence[Path], source: Source, time_budget_s: float | None = None
) -> bool:
    """Runs a search to its end, False if the time budget ended before; its jobs go on then, and are found again."""
    assert plan.tuning is not None
    launcher = Arrays(plan, store, variant_dirs, needs_timings=plan.tuning.config.needs_timings)
    deadline = None if time_budget_s is None else time.monotonic() + time_budget_s
    most = plan.launch.array_parallelism or AT_ONCE
    return drive(source, launcher, most=most, should_stop=lambda: deadline is not None and time.monotonic() > deadline)
