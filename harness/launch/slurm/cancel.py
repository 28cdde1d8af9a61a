"""Ends jobs. What their trials have so far stays: the sweep command goes on from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.launch.slurm import client, reconcile, submission
from harness.launch.slurm.submission import Submission
from harness.launch.tasks import state_of
from harness.record import OPEN_STATUSES
from harness.store import Store, TrialFolder

POLL_SECONDS = 0.5
Say = Callable[[str], None]


@dataclass
class Cancelled:
    """What became of the trials: their jobs were ended; they share a job with others; they run, or wait, without one.

    `problem` is what scancel said, if it failed.
    """

    trials: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    problem: str = ""
    still_there: int = 0


def cancel(store: Store, folders: Sequence[TrialFolder], wait_s: float, say: Say = print) -> Cancelled:
    """Ends the jobs of open trials and waits at most `wait_s` seconds for their end.

    A job that other open trials need too is left. Trials that had not begun are pending again; one that runs writes
    a checkpoint and is preempted. Raises: UserError for a submission file that is damaged.
    """
    done = Cancelled()
    by_job: dict[str, list[TrialFolder]] = {}
    for folder in folders:
        if state_of(folder).status in OPEN_STATUSES:
            by_job.setdefault(folder.written_status().job, []).append(folder)
    done.elsewhere = [folder.trial_id for folder in by_job.pop("", []) if folder.is_held()]
    found: dict[str, Submission] = {}
    ids: list[str] = []
    for job, asked in by_job.items():
        known = submission.find_job(store, job)
        if known is None:
            _forget_job(job, asked, say)
            continue
        noted, index = known
        found[noted.token] = noted
        _cancel_job(store, noted, index, asked, ids, done)
    done.problem = client.cancel_jobs(ids)
    if not done.problem and ids:
        done.still_there = _wait(list(found.values()), set(ids), wait_s)
    if not done.problem and not done.still_there:
        for trial in done.trials:  # what ran has ended meanwhile, and no job will come for it
            reconcile.leave_job(store.trial(trial))
    return done


def _forget_job(job: str, asked: Sequence[TrialFolder], say: Say) -> None:
    """Takes trials from a job that was never submitted: their status files are damaged."""
    for folder in asked:
        if reconcile.release_one(folder, reconcile.token_of(job)):
            say(f"{folder.trial_id}: named the job {job!r}, which nobody submitted; it is pending again")
        else:
            say(f"{folder.trial_id}: names the job {job!r}, which nobody submitted, and a worker has it; left alone")


def _cancel_job(
    store: Store, noted: Submission, index: int, asked: Sequence[TrialFolder], ids: list[str], done: Cancelled
) -> None:
    job = noted.job(index)
    chosen = {folder.trial_id for folder in asked}
    others = [store.trial(trial) for trial in noted.trials[index] if trial not in chosen]
    if any(folder.written_status().job == job and state_of(folder).status in OPEN_STATUSES for folder in others):
        done.shared += sorted(chosen)
        return
    reconcile.release(store, noted, sorted(chosen))  # before scancel: a job that starts meanwhile leaves them alone
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
