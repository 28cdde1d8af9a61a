"""What `sweep` does where trials run on SLURM: submits, says so, and returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.units import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.launch.slurm.submit import Outcome
    from harness.launch.tasks import Task, Todo
    from harness.store import Store
    from harness.sweep.plan import Plan

CANCEL_SECONDS = 60.0


def check_launch(
    plan: Plan, store: Store, todo: Todo, *, jobs: int | None, time_budget_s: float | None, rerun_stale: bool
) -> None:
    """Before anything is changed. Raises: UserError for what SLURM cannot do, or where there is no SLURM."""
    if plan.launch.where != "slurm":
        return
    from harness.launch.slurm.submit import check_commands, check_folder

    if jobs is not None:
        raise UserError("--jobs: is for the local pool; for SLURM set launch.array_parallelism.")
    if time_budget_s is not None and plan.tuning is None:
        raise UserError("--time-budget: is for the local pool; for SLURM set launch.time.")
    check_folder(store.path)
    if todo.tasks or rerun_stale:
        check_commands()


def submit_sweep(
    plan: Plan, store: Store, todo: Todo, variant_dirs: Sequence[Path], *, cancel_dropped: bool = False
) -> int:
    """Under the run's lock: submits what is open and has no job; returns the exit code."""
    from harness.launch.slurm.submit import submit

    _dropped(plan, store, cancel_dropped)
    outcome = submit(plan, store, todo.tasks, variant_dirs, partly=True)
    _tell(store, todo, outcome)
    if outcome.unknown:
        raise UserError(
            f"{outcome.unknown} trials have a job of which SLURM says nothing ({outcome.problem}). They are left "
            f"alone; run the same command again once squeue answers."
        )
    return 0


def without_jobs(store: Store, tasks: Sequence[Task]) -> list[Task]:
    """For the local pool: the tasks that no SLURM job has, as far as anybody can tell; says so of the others.

    Raises: UserError where that leaves nothing to do.
    """
    from harness.launch.slurm.reconcile import sort_tasks

    with_job = [task for task in tasks if task.folder.written_status().job]
    if not with_job:
        return list(tasks)
    found, queue = sort_tasks(store, with_job)
    left = found.taken + found.unknown
    taken = {task.trial.trial_id for task in left}
    kept = [task for task in tasks if task.trial.trial_id not in taken]
    if left:
        why = f" as far as their files say ({queue.problem})" if queue.problem else ""
        said = (
            f"{len(left)} trials have a SLURM job{why} and are left to it; "
            f"`python -m harness cancel {store.path}` takes them back."
        )
        if not kept:
            raise UserError(f"nothing to run here: {said}")
        print(said)
    return kept


def _tell(store: Store, todo: Todo, outcome: Outcome) -> None:
    parts = [f"{counted(outcome.submitted, 'trial')} submitted", f"{outcome.taken} at work or in the queue already"]
    print(", ".join([*parts, f"{len(todo.done)} done"]))
    if outcome.limit:
        print(f"{outcome.waiting} trials wait: {outcome.limit} Run it again when some of your jobs have ended.")
    if todo.failed:
        print(f"{len(todo.failed)} failed before: `python -m harness retry {store.path}`, then this command again.")
    if outcome.submitted or outcome.taken:
        print(f"`python -m harness status {store.path}` says where they stand, `watch` does so live, `report` reports.")


def _dropped(plan: Plan, store: Store, cancel_dropped: bool) -> None:
    """Lists trials that are at work or queued and that the sweep no longer asks for; cancels them if wanted."""
    from harness.launch.slurm.cancel import cancel
    from harness.launch.slurm.reconcile import dropped_trials

    found = dropped_trials(store, {trial.trial_id for trial in plan.trials})
    if not found:
        return
    for folder in found:
        print(f"no longer asked for: {folder.trial_id} ({folder.status().status})")
    if not cancel_dropped:
        print(f"{len(found)} trials go on though the sweep no longer asks for them; --cancel-dropped ends them.")
        return
    done = cancel(store, found, CANCEL_SECONDS)
    print(f"{len(done.trials)} of them cancelled")
    if done.problem:
        raise UserError(f"their jobs could not be cancelled: {done.problem}. Run the same command again.")
