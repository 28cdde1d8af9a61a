"""Reconciles submissions with squeue: which jobs are left, what became of unconfirmed ones, how jobs are ended."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from harness.launch import assignment
from harness.launch.base import Cancelled, Log
from harness.launch.slurm import client, submission
from harness.launch.slurm.job_start import JobEntry
from harness.launch.slurm.logs import job_fate, job_folder, starts
from harness.launch.slurm.submission import Submission
from harness.launch.tasks import TrialTask, state_of
from harness.record import OPEN_STATUSES
from harness.store import Store, TrialFolder, side_by_side

POLL_SECONDS = 0.5
NO_LIMIT = 10**6  # of submitit's own restarts: we count them


@dataclass
class Queue:
    """Jobs (TOKEN/INDEX) that SLURM still has; where there is a `problem`, nothing is known about any of them.

    `words`: what SLURM says of a job, also of an ended one that it remembers: 'PENDING, PartitionConfig'.
    """

    live: set[str] = field(default_factory=set)
    problem: str = ""
    words: dict[str, str] = field(default_factory=dict)


@dataclass
class SortedTasks:
    """Open tasks: `free` to be submitted, `taken` by a job or a worker, or `unknown` while squeue does not answer."""

    free: list[TrialTask]
    taken: list[TrialTask]
    unknown: list[TrialTask]


def ask_queue(store: Store) -> Queue:
    """Returns the jobs of this run that SLURM still has."""
    known = {found.name: found for found in submission.every(store) if found.state != "abandoned"}
    lines, problem = client.queue(list(known), ended=True)
    queue = Queue(problem=problem)
    for line in sorted(lines, key=lambda line: not line.has_ended):  # a job that is there replaces one that ended
        if line.name in known:
            job = known[line.name].job(line.index)
            queue.words[job] = line.words
            queue.live |= set() if line.has_ended else {job}
    return queue


def find_by_id(store: Store, queue: Queue, jobs: Collection[str]) -> None:
    """Adds the jobs to the queue that squeue lists by their id though not by their name: its output was incomplete.

    Called before anything is submitted again.
    """
    known = {job: found for job in jobs if (found := submission.find_job(store, job)) and found[0].job_id}
    lines = client.queue_by_id({noted.job_id for noted, _ in known.values()})
    there = {(line.name, line.job_id, line.index) for line in lines}
    queue.live |= {job for job, (noted, index) in known.items() if (noted.name, noted.job_id, index) in there}


def token_of(job: str) -> str:
    """Returns the token in the name of a job, TOKEN/INDEX."""
    return job.partition("/")[0]


def sort_tasks(store: Store, tasks: Sequence[TrialTask]) -> tuple[SortedTasks, Queue]:
    """Sorts open tasks by their files and, for those with a job, by the output of squeue."""
    statuses = [task.folder.status() for task in tasks]
    queue = ask_queue(store)
    waiting = {status.job for status in statuses if status.job and status.status != "running"}
    if not queue.problem and (missing := waiting - queue.live):
        find_by_id(store, queue, missing)
    found = SortedTasks([], [], [])
    for task, status in zip(tasks, statuses, strict=True):
        if status.status == "running" or status.job in queue.live:
            found.taken.append(task)
        elif status.job and queue.problem:
            found.unknown.append(task)
        else:
            found.free.append(task)
    return found, queue


def last_words(store: Store, queue: Queue, tasks: Sequence[TrialTask]) -> dict[str, str]:
    """Returns what became of the last jobs of tasks that have none now: in SLURM's words, else by the job's marks."""
    found = {}
    for task in tasks:
        status = task.folder.written_status()
        words = queue.words.get(status.job) or (job_fate(store, status.job) if status.job else "") or status.message
        if status.num_submissions and words:
            found[task.trial.trial_id] = words
    return found


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
            delayed = DelayedSubmission(JobEntry(str(folder)))
            delayed.set_timeout(1, NO_LIMIT)
            aside = path.with_suffix(".aside")
            delayed.dump(aside)
            aside.rename(path)


def assign(store: Store, found: Submission, words: Mapping[str, str] | None = None) -> None:
    """Notes in every trial of a submission which job has it; called before sbatch, since a job may start at once.

    `words`: trial id -> what SLURM said of its job before.
    """
    said = words or {}
    side_by_side(
        lambda item: assignment.assign(store.trial(item[0]), item[1], said.get(item[0], "")),
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


def cancel(store: Store, folders: Sequence[TrialFolder], wait_s: float, log: Log = print) -> Cancelled:
    """Ends the jobs of open trials and waits at most `wait_s` seconds for their end.

    Keeps a job that other open trials need too. Trials that had not begun become pending; one that runs writes a
    checkpoint and is preempted. Raises: UserError for a damaged submission file.
    """
    for line in confirm_all(store):
        log(line)
    done = Cancelled()
    by_job: dict[str, list[TrialFolder]] = {}
    for folder in folders:
        job = folder.written_status().job
        if job and state_of(folder).status in OPEN_STATUSES:
            by_job.setdefault(job, []).append(folder)
    found: dict[str, Submission] = {}
    ids: list[str] = []
    for job, chosen in by_job.items():
        if (known := submission.find_job(store, job)) is None:
            _release_from_unknown(job, chosen, log)
        else:
            found[known[0].token] = known[0]
            _cancel_job(store, *known, chosen, ids, done)
    names = {noted.name for noted in found.values()}
    others = {
        line.job_id
        for line in client.queue_by_id({noted.job_id for noted in found.values() if noted.job_id})
        if line.name not in names
    }  # SLURM lost its state and gave an id again
    done.problem = client.cancel_jobs([full_id for full_id in ids if full_id.partition("_")[0] not in others])
    if not done.problem and ids:
        done.num_ending = _wait(list(found.values()), set(ids), wait_s)
    if not done.problem and not done.num_ending:
        for trial in done.trials:  # those that ran have ended meanwhile, and no job will start them again
            assignment.leave_job(store.trial(trial))
    return done


def _release_from_unknown(job: str, chosen: Sequence[TrialFolder], log: Log) -> None:
    """Takes trials from a job that was never submitted: their status files are damaged."""
    for folder in chosen:
        if assignment.release(folder, lambda named: named == job):
            log(f"{folder.trial_id}: named the job {job!r}, which was never submitted; it is pending again")
        else:
            log(f"{folder.trial_id}: names the job {job!r}, which was never submitted, and a worker has it; left alone")


def _cancel_job(
    store: Store, noted: Submission, index: int, folders: Sequence[TrialFolder], ids: list[str], done: Cancelled
) -> None:
    job = noted.job(index)
    chosen = {folder.trial_id for folder in folders}
    others = [store.trial(trial) for trial in noted.trials[index] if trial not in chosen]
    if any(folder.written_status().job == job and state_of(folder).status in OPEN_STATUSES for folder in others):
        done.shared += sorted(chosen)
        return
    release(store, noted, sorted(chosen))  # before scancel: a job that starts meanwhile skips them
    done.trials += sorted(chosen)
    if noted.job_id:
        ids.append(noted.slurm_id(index))


def _wait(found: Sequence[Submission], ids: set[str], wait_s: float) -> int:
    """Waits until SLURM has none of these jobs; returns how many it still has."""
    deadline = time.monotonic() + wait_s
    while True:
        lines, problem = client.queue([noted.name for noted in found])
        left = len(ids & {line.full_id for line in lines})
        if problem or not left or time.monotonic() > deadline:
            return left
        time.sleep(POLL_SECONDS)
