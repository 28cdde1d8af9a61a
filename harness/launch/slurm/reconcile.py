"""What became of earlier submissions: who still has a job, what nobody noted, what nobody asks for any more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from harness.launch.slurm import client, submission
from harness.launch.slurm.job_start import Entry
from harness.launch.slurm.logs import job_folder, starts
from harness.launch.slurm.submission import Submission
from harness.launch.tasks import Task, state_of
from harness.record import OPEN_STATUSES
from harness.store import Store, TrialFolder, TrialStatus, exclusive_lock, side_by_side
from harness.store.lease import last_beat

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
    """Adopts the jobs if SLURM has or had them, else gives their trials back; says what it did."""
    lines, problem = client.queue([found.name], ended=True)
    if problem:
        return (
            f"submission {found.token}: nobody noted whether SLURM has it, and it cannot be asked ({problem}). A job "
            "of it that turns up runs a trial only if the trial still waits for it."
        )
    ids = {line.job_id for line in lines} or begun_ids(store, found)
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


def begun_ids(store: Store, found: Submission) -> set[str]:
    """SLURM's ids of a submission by the marks of its jobs: SLURM itself soon forgets a job that is over."""
    begun = (starts(store, found.job(index)).values() for index in range(len(found.trials)))
    return {slurm_id.partition("_")[0] for marks in begun for _, slurm_id in marks if slurm_id}


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
    def assigned(status: TrialStatus) -> TrialStatus:
        return TrialStatus(
            status="queued", job=job, num_starts=status.num_starts, step=status.step, num_steps=status.num_steps,
            loss=status.loss,
        )  # fmt: skip

    _change_open(folder, assigned)


def _change_open(folder: TrialFolder, change: Callable[[TrialStatus], TrialStatus | None]) -> bool:
    """Changes the status of a trial that is open and that nobody works on, else leaves it; returns whether it did.

    Under the trial's lock, so that no worker writes between our look and our word. A worker waits for it a second.
    """
    if not folder.path.is_dir():
        return False
    with exclusive_lock(folder.lock_file) as got:
        beat = last_beat(folder.beat_file) if got else None
        if not got or (beat is not None and beat.is_elsewhere and beat.is_fresh):
            return False
        if state_of(folder).status not in OPEN_STATUSES:
            return False
        changed = change(folder.written_status())
        if changed is not None:
            folder.write_status(changed)
        return changed is not None


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

    def released(status: TrialStatus) -> TrialStatus | None:
        if token_of(status.job) != token:
            return None
        return replace(status, status="pending", job="", message="")

    return _change_open(folder, released)


def leave_job(folder: TrialFolder) -> None:
    """Notes that a trial on which nobody works has no job any more; where it stands stays as it is."""
    _change_open(folder, lambda status: replace(status, job=""))


def dropped_trials(store: Store, asked: Collection[str]) -> list[TrialFolder]:
    """Trials with a job or a worker that the sweep no longer asks for."""
    found = []
    for folder in store.trials():
        if folder.trial_id not in asked:
            status = folder.status()
            if status.status == "running" or (status.job and status.status in ("queued", "preempted", "lost")):
                found.append(folder)
    return found
