"""Runs a source of tasks (a search) through job arrays: what is asked for is submitted, files say what ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.launch.feed import EndedByFiles, Source, drive
from harness.launch.slurm.reconcile import Queue, ask_queue
from harness.launch.slurm.submit import submit
from harness.launch.todo import Task
from harness.store import Store
from harness.sweep.plan import Plan

AT_ONCE = 8  # trials, where neither tune.parallel nor launch.array_parallelism says: a search learns from what ended
LOOK_SECONDS = 10.0  # between questions to squeue: trials say themselves how they ended, it only knows the silent ones


class Arrays:
    """The submitting side of a search in one store, and what SLURM says of its jobs."""

    def __init__(self, plan: Plan, store: Store, variant_dirs: Sequence[Path]):
        self.plan, self.store, self.variant_dirs = plan, store, variant_dirs
        self.queue = Queue()
        self._next_look = 0.0

    def submit(self, tasks: Sequence[Task]) -> None:
        """Submits tasks that have no job. Raises: UserError where sbatch refuses, or nobody can tell."""
        outcome = submit(self.plan, self.store, tasks, self.variant_dirs)
        if outcome.unknown:
            raise UserError(
                f"{outcome.unknown} trials of the search have a job of which SLURM says nothing ({outcome.problem}). "
                f"Run the same command again once squeue answers."
            )
        self._next_look = 0.0

    def is_gone(self, task: Task, status: str) -> bool:
        """Whether SLURM answers, and has no job of a trial that does not run."""
        if time.monotonic() >= self._next_look:
            self.queue = ask_queue(self.store)
            self._next_look = time.monotonic() + LOOK_SECONDS
        return not self.queue.problem and task.folder.written_status().job not in self.queue.live


def run_search(
    plan: Plan, store: Store, variant_dirs: Sequence[Path], source: Source, time_budget_s: float | None = None
) -> bool:
    """Runs a search to its end, False if the time budget ended before; its jobs go on then, and are found again."""
    assert plan.tuning is not None
    arrays = Arrays(plan, store, variant_dirs)
    launcher = EndedByFiles(arrays.submit, needs_timings=plan.tuning.config.needs_timings, is_gone=arrays.is_gone)
    deadline = None if time_budget_s is None else time.monotonic() + time_budget_s
    most = plan.launch.array_parallelism or AT_ONCE
    return drive(source, launcher, most=most, should_stop=lambda: deadline is not None and time.monotonic() > deadline)
