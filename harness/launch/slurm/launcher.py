"""`Slurm`: the launcher for clusters; what the rest of the program calls of this package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.launch.base import Cancelled, JobState, Launcher, LaunchRequest, Log, Owners
from harness.launch.doctor import Finding
from harness.launch.source import Source
from harness.launch.tasks import Todo
from harness.store import Store, TrialFolder
from harness.sweep.launch.config import LaunchConfig
from harness.units import counted

if TYPE_CHECKING:
    from harness.launch.slurm.submit import SubmitResult

NUM_LOG_LINES = 6  # srun writes the last of them
UNCONFIRMED = "sbatch was not seen to take its job; the sweep command finds out once squeue answers, or: cancel"


class Slurm(Launcher):
    """Submits trials as job arrays."""

    name, title, detaches = "slurm", "SLURM", True

    def check(self, request: LaunchRequest, *, will_start: bool) -> None:
        """Raises: UserError for options of the local pool, folders that sbatch cannot use, or without SLURM here."""
        from harness.launch.slurm.acceptance import check_commands, check_folder

        if request.num_workers is not None:
            raise UserError("--jobs: is for the local pool; for SLURM set launch.array_parallelism.")
        if request.time_budget_s is not None and request.plan.tuning is None:
            raise UserError("--time-budget: is for the local pool; for SLURM set launch.time.")
        check_folder(request.store.path)
        if will_start:
            check_commands()

    def run(self, request: LaunchRequest, todo: Todo) -> bool:
        """Submits what is open and has no job."""
        from harness.launch.slurm.submit import submit

        result = submit(request.plan, request.store, todo.tasks, request.code, partly=True)
        _print_result(request.store, todo, result)
        if result.unknown:
            raise UserError(
                f"{result.unknown} trials have a job that SLURM does not confirm ({result.problem}). "
                f"They are left alone; run the same command again once squeue answers."
            )
        if result.never_started:
            [first, *_] = result.never_started
            raise UserError(
                f"{counted(len(result.never_started), 'trial')} invalid now: {first}: "
                f"{request.store.trial(first).written_status().message}, then this command again."
            )
        return True

    def search(self, request: LaunchRequest, source: Source) -> bool:
        """Submits the tasks of a search as they come."""
        from harness.launch.slurm.search import run_search

        return run_search(request.plan, request.store, request.code, source, request.time_budget_s)

    def owners(self, store: Store, folders: Sequence[TrialFolder]) -> Owners:
        """Returns which trials run or have a job that squeue lists."""
        from harness.launch.slurm.reconcile import ask_queue

        statuses = {folder.trial_id: folder.status() for folder in folders}  # before squeue: a job may start meanwhile
        queue = ask_queue(store)
        taken = {trial for trial, status in statuses.items() if status.status == "running" or status.job in queue.live}
        unknown = {trial for trial, status in statuses.items() if status.job and queue.problem} - taken
        reasons = {trial: queue.words[status.job] for trial, status in statuses.items() if status.job in queue.words}
        problem = f"SLURM did not answer: {queue.problem}" if queue.problem else ""
        return Owners(taken, unknown, problem, reasons)

    def cancel(self, store: Store, folders: Sequence[TrialFolder], wait_s: float, log: Log) -> Cancelled:
        """Ends the jobs of open trials."""
        from harness.launch.slurm.reconcile import cancel

        return cancel(store, folders, wait_s, log)

    def describe(self, store: Store, job: str) -> JobState:
        """Returns what the marks of a job say."""
        from harness.launch.slurm.logs import job_fate, job_log_tail
        from harness.launch.slurm.submission import is_confirmed

        fate = job_fate(store, job)
        if not is_confirmed(store, job):
            return JobState(fate, UNCONFIRMED)
        if not fate.startswith("ended"):
            return JobState(fate)
        warning = f"its job {fate}; the sweep command submits it again"
        return JobState(fate, warning, job_log_tail(store, job, NUM_LOG_LINES))

    def logs(self, store: Store, job: str) -> list[Path]:
        """Returns the log that submitit writes for a job, all its restarts in one."""
        from harness.launch.slurm.logs import job_log

        log = job_log(store, job)
        return [log] if log else []

    def doctor(self, launch: LaunchConfig, runs: Path, wait_s: float) -> Iterator[Finding]:
        """Checks SLURM's commands, its limits, and a small job in the queue."""
        from harness.launch.slurm.doctor import check_cluster

        return check_cluster(launch, runs, wait_s)


def _print_result(store: Store, todo: Todo, result: SubmitResult) -> None:
    parts = [f"{counted(result.submitted, 'trial')} submitted", f"{result.taken} at work or in the queue already"]
    print(", ".join([*parts, f"{len(todo.done)} done"]))
    if result.limit:
        print(f"{result.waiting} trials wait: {result.limit} Run it again when some of your jobs have ended.")
    if todo.failed:
        print(f"{len(todo.failed)} failed before: `python -m harness retry {store.path}`, then this command again.")
    if result.submitted or result.taken:
        print(f"`python -m harness status {store.path}` shows where they stand, `watch` live; `report` reports.")
