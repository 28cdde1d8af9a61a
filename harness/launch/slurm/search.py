"""Runs a source of tasks (a search) through job arrays: submits what it generates, reads from files what ended."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from harness.errors import UserError
from harness.launch.queued import AT_ONCE
from harness.launch.slurm.reconcile import Queue, ask_queue
from harness.launch.slurm.submit import submit
from harness.launch.snapshot import Snapshot
from harness.launch.source import EndedByFiles, Source, drive
from harness.launch.tasks import TrialTask
from harness.store import Store
from harness.sweep.plan import Plan

ASK_SECONDS = 10.0  # between two calls of squeue: it is needed only for jobs that ended without writing a status
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 5.0, 60.0  # before a retry, doubled from the first to the longest
PATIENCE_SECONDS = 600.0  # while SLURM does not answer: a controller restarts within minutes
#: errors of sbatch and squeue while SLURM itself is away or busy; any other error is permanent
TRANSIENT = re.compile(
    "unable to contact|did not answer|once squeue answers|timed? ?out|temporar|try again|connection|communication"
    "|zero bytes|backup controller|standby|too busy|send/recv",
    re.IGNORECASE,
)


class Arrays(EndedByFiles):
    """Submits the tasks of a search in one store, and asks SLURM which of its jobs are gone.

    While SLURM does not answer, or accepts no more jobs, new tasks wait here; running tasks are still reported.
    """

    def __init__(self, plan: Plan, store: Store, code: Snapshot, *, needs_timings: bool = False):
        super().__init__(self._put, needs_timings=needs_timings, is_gone=self._is_gone)
        self.plan, self.store, self.code = plan, store, code
        self.queue = Queue()
        self.tested: set[tuple[str, ...]] = set()
        self.waiting: list[TrialTask] = []
        self._next_question = self._next_try = 0.0
        self._wait_s = FIRST_WAIT_SECONDS
        self._silent_since: float | None = None

    def poll(self) -> list[TrialTask]:
        """Returns the tasks that ended since the last call; retries to submit those that wait."""
        self._hand_over()
        return super().poll()

    def _put(self, tasks: Sequence[TrialTask]) -> None:
        self.waiting += tasks
        self._hand_over()

    def _hand_over(self) -> None:
        """Submits what waits and has no job, unless the next retry is not due.

        Raises: UserError where sbatch refuses permanently, or SLURM does not answer for too long.
        """
        if time.monotonic() < self._next_try:
            return
        self.waiting = [
            task for task in self.waiting if not self._has_ended(task)
        ]  # by a job whose submission was unconfirmed
        if not self.waiting:
            return
        problem = self._try_to_submit()
        self._next_question = 0.0
        self.waiting = [task for task in self.waiting if problem or not task.folder.written_status().job]
        if not self.waiting:
            self._wait_s, self._silent_since = FIRST_WAIT_SECONDS, None
            return
        self._be_patient(problem)
        self._next_try = time.monotonic() + self._wait_s
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_SECONDS)

    def _try_to_submit(self) -> str:
        """Submits what waits; returns the error of a SLURM that does not answer, or an empty string."""
        try:
            result = submit(self.plan, self.store, self.waiting, self.code, partly=True, tested=self.tested)
        except UserError as error:
            if not TRANSIENT.search(str(error)):
                raise
            return str(error)
        if not result.unknown:
            return ""
        return f"{result.unknown} trials of the search have a job that SLURM does not confirm ({result.problem})."

    def _be_patient(self, problem: str) -> None:
        """Reports once that SLURM does not answer. Raises: UserError where that takes too long."""
        if not problem:  # it answers and accepts no more jobs: that passes when jobs end
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = time.monotonic()
            print(f"{problem} Retrying for {PATIENCE_SECONDS / 60:g} minutes.", flush=True)
        elif time.monotonic() - self._silent_since > PATIENCE_SECONDS:
            raise UserError(f"{problem} Run the same command again once squeue answers; jobs continue meanwhile.")

    def _is_gone(self, task: TrialTask, status: str) -> bool:
        """Returns whether SLURM answers and no longer has the job of a trial that does not run."""
        if any(task is other for other in self.waiting):
            return False
        if time.monotonic() >= self._next_question:
            self.queue = ask_queue(self.store)
            self._next_question = time.monotonic() + ASK_SECONDS
        return not self.queue.problem and task.folder.written_status().job not in self.queue.live


def run_search(plan: Plan, store: Store, code: Snapshot, source: Source, time_budget_s: float | None = None) -> bool:
    """Runs a search to its end; returns False if the time budget ended before. Its jobs continue."""
    assert plan.tuning is not None
    queue = Arrays(plan, store, code, needs_timings=plan.tuning.config.needs_timings)
    deadline = None if time_budget_s is None else time.monotonic() + time_budget_s
    most = plan.launch.array_parallelism or AT_ONCE
    return drive(source, queue, most=most, should_stop=lambda: deadline is not None and time.monotonic() > deadline)
