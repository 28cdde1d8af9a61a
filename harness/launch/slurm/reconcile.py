"""Reconciles earlier submissions with squeue: which jobs are left, and what became of unconfirmed submissions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.launch import assignment
from harness.launch.slurm import client, submission
from harness.launch.slurm.job_start import Entry
from harness.launch.slurm.logs import job_folder, starts
from harness.launch.slurm.submission import Submission
from harness.launch.tasks import TrialTask
from harness.store import Store, side_by_side

NO_LIMIT = 10**6  # of submitit's own restarts: we count them


@dataclass
class Queue:
    """Jobs (TOKEN/INDEX) that SLURM still has; where there is a `problem`, nothing is known about any of them."""

    live: set[str] = field(default_factory=set)
    problem: str = ""


@dataclass
class SortedTasks:
    """Open tasks: `free` to be submitted, `taken` by a job or a worker, or `unknown` while squeue does not answer."""

    free: list[TrialTask]
    taken: list[TrialTask]
    unknown: list[TrialTask]


def ask_queue(store: Store) -> Queue:
    """Returns the jobs of this run that SLURM still has."""
    known = {found.name: found for found in submission.every(store) if found.state != "abandoned"}
    lines, problem = client.queue(list(known))
    return Queue({known[line.name].job(line.index) for line in lines if line.name in known}, problem)


def token_of(job: str) -> str:
    """Returns the token in the name of a job, TOKEN/INDEX."""
    return job.partition("/")[0]


def sort_tasks(store: Store, tasks: Sequence[TrialTask]) -> tuple[SortedTasks, Queue]:
    """Sorts open tasks by their files and, for those with a job, by the output of squeue."""
    statuses = [task.folder.status() for task in tasks]
    queue = ask_queue(store)
    found = SortedTasks([], [], [])
    for task, status in zip(tasks, statuses, strict=True):
        if status.status == "running" or status.job in queue.live:
            found.taken.append(task)
        elif status.job and queue.problem:
            found.unknown.append(task)
        else:
            found.free.append(task)
    return found, queue


def confirm_all(store: Store) -> list[str]:
    """Confirms the submissions that a killed `sweep` left unconfirmed; returns lines for the user."""
    return [confirm(store, found) for found in submission.every(store) if found.state == "intent"]


def confirm(store: Store, found: Submission) -> str:
    """Adopts the jobs of a submission if SLURM has or had them, else releases their trials; returns what it did."""
    lines, problem = client.queue([found.name], ended=True)
    if problem:
        return (
            f"submission {found.token}: unconfirmed, and SLURM does not answer ({problem}). If a job of it starts, it "
            "runs a trial only if the trial still waits for it."
        )
    ids = {line.job_id for line in lines} or begun_ids(store, found)
    if len(ids) > 1:  # cannot come from one sbatch; none of them is needed
        client.cancel_jobs(sorted(ids))
    if len(ids) == 1:
        found.job_id, found.state = ids.pop(), "submitted"
        complete_pickles(store, found)
        submission.write(store, found)
        return f"submission {found.token}: found in SLURM as job {found.job_id} and adopted"
    found.state = "abandoned"
    submission.write(store, found)
    number = release(store, found, [trial for job in found.trials for trial in job])
    return f"submission {found.token}: SLURM does not have it; its {number} trials are pending again"


def begun_ids(store: Store, found: Submission) -> set[str]:
    """Returns SLURM's ids of a submission from the marks of its jobs: SLURM itself soon forgets an ended job."""
    begun = (starts(store, found.job(index)).values() for index in range(len(found.trials)))
    return {slurm_id.partition("_")[0] for marks in begun for _, slurm_id in marks if slurm_id}


def complete_pickles(store: Store, found: Submission) -> None:
    """Writes the pickles that a killed submitter did not: every job waits a minute for its own. All are the same."""
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
    """Notes in every trial of a submission which job has it; called before sbatch, since a job may start at once."""
    side_by_side(
        lambda item: assignment.assign(store.trial(item[0]), item[1]),
        [(trial, found.job(index)) for index, trials in enumerate(found.trials) for trial in trials],
    )


def release(store: Store, found: Submission, trials: Sequence[str]) -> int:
    """Takes idle trials away from a submission's jobs; returns how many."""
    released: list[str] = []

    def one(trial: str) -> None:
        if assignment.release(store.trial(trial), lambda job: token_of(job) == found.token):
            released.append(trial)

    side_by_side(one, trials)
    return len(released)
