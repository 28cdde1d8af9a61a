"""What became of earlier submissions: who still has a job, what nobody noted, what nobody asks for any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.launch.slurm import client, submission
from harness.launch.slurm.entry import Entry
from harness.launch.slurm.logs import job_folder
from harness.launch.slurm.submission import Submission
from harness.launch.todo import Task
from harness.store import Store, TrialFolder, TrialStatus, side_by_side

NO_LIMIT = 10**6  # of submitit's own restarts: we count them


@dataclass
class Queue:
    """Jobs (TOKEN/INDEX) that SLURM still has; with a problem nothing is known of any."""

    live: set[str] = field(default_factory=set)
    problem: str = ""


@dataclass
class Sorted:
    """Open tasks by what is to be done: submit them, leave them to their job, or leave them since nobody can tell."""

    free: list[Task]
    taken: list[Task]
    unknown: list[Task]


def ask_queue(store: Store) -> Queue:
    """Which jobs of this run SLURM still has."""
    known = {found.name: found for found in submission.every(store) if found.state != "abandoned"}
    lines, problem = client.queue(list(known))
    return Queue({known[line.name].job(line.index) for line in lines if line.name in known}, problem)


def token_of(job: str) -> str:
    """The submission of a job TOKEN/INDEX."""
    return job.partition("/")[0]


def sort_tasks(store: Store, tasks: Sequence[Task]) -> tuple[Sorted, Queue]:
    """Sorts open tasks by the files and, for those that have a job, by what squeue says."""
    statuses = [task.folder.status() for task in tasks]
    queue = ask_queue(store)
    found = Sorted([], [], [])
    for task, status in zip(tasks, statuses, strict=True):
        if status.status == "running" or status.job in queue.live:
            found.taken.append(task)
        elif status.job and queue.problem:
            found.unknown.append(task)
        else:
            found.free.append(task)
    return found, queue


def settle_intents(store: Store) -> list[str]:
    """Finds out what became of submissions whose end nobody noted (a killed `sweep`); returns lines for the user."""
    said = []
    for found in submission.every(store):
        if found.state == "intent":
            said.append(settle(store, found))
    return said


def settle(store: Store, found: Submission) -> str:
    """Adopts the jobs if SLURM has them, else gives their trials back; says what it did."""
    lines, problem = client.queue([found.name])
    if problem:
        return f"submission {found.token}: nobody noted whether SLURM has it, and it cannot be asked ({problem})"
    ids = {line.job_id for line in lines}
    if len(ids) > 1:  # cannot come from one sbatch; whoever did this: none of them is needed
        client.cancel_jobs(sorted(ids))
    if len(ids) == 1:
        found.job_id, found.state = ids.pop(), "submitted"
        complete_pickles(store, found)
        submission.write(store, found)
        return f"submission {found.token}: found in SLURM as job {found.job_id} and taken over"
    found.state = "abandoned"
    submission.write(store, found)
    number = release(store, found, [trial for job in found.trials for trial in job])
    return f"submission {found.token}: SLURM does not have it; its {number} trials are pending again"


def complete_pickles(store: Store, found: Submission) -> None:
    """Writes what a killed submitter did not: every job waits a minute for its pickle. All pickles are the same."""
    from submitit.core.utils import DelayedSubmission

    folder = job_folder(store, found.token)
    for index in range(len(found.trials)):
        path = folder / "log" / f"{found.slurm_id(index)}_submitted.pkl"
        if not path.exists():
            delayed = DelayedSubmission(Entry(str(folder)))
            delayed.set_timeout(1, NO_LIMIT)
            aside = path.with_suffix(".aside")
            delayed.dump(aside)
            aside.rename(path)


def assign(store: Store, found: Submission) -> None:
    """Notes in every trial of a submission which job has it. Before sbatch: the worker may be quicker than we."""
    side_by_side(
        lambda item: _assign_one(store.trial(item[0]), item[1]),
        [(trial, found.job(index)) for index, trials in enumerate(found.trials) for trial in trials],
    )


def _assign_one(folder: TrialFolder, job: str) -> None:
    status = folder.written_status()
    folder.write_status(
        TrialStatus(
            status="queued", job=job, num_starts=status.num_starts, step=status.step, num_steps=status.num_steps,
            loss=status.loss,
        )
    )  # fmt: skip


def release(store: Store, found: Submission, trials: Sequence[str]) -> int:
    """Takes trials away from a submission's jobs, if they still have them and are not at work; returns how many."""
    released: list[str] = []

    def one(trial: str) -> None:
        if release_one(store.trial(trial), found.token):
            released.append(trial)

    side_by_side(one, trials)
    return len(released)


def release_one(folder: TrialFolder, token: str) -> bool:
    """Puts one trial back to pending. A job that starts later sees that the trial is not its own any more."""
    status = folder.written_status()
    if token_of(status.job) != token or folder.is_held():
        return False
    status.status, status.job, status.message = "pending", "", ""
    folder.write_status(status)
    return True


def dropped_trials(store: Store, asked: Collection[str]) -> list[TrialFolder]:
    """Trials with a job or a worker that the sweep no longer asks for."""
    found = []
    for folder in store.trials():
        if folder.trial_id not in asked:
            status = folder.status()
            if status.status == "running" or (status.job and status.status in ("queued", "preempted", "lost")):
                found.append(folder)
    return found


def relative(path: Path) -> str:
    """A path as people write it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
