"""Ends jobs. Their trials keep what they have: the sweep command continues from there."""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness.launch import assignment
from harness.launch.base import Cancelled, Log
from harness.launch.slurm import client, reconcile, submission
from harness.launch.slurm.submission import Submission
from harness.launch.tasks import state_of
from harness.record import OPEN_STATUSES
from harness.store import Store, TrialFolder

POLL_SECONDS = 0.5


def cancel(store: Store, folders: Sequence[TrialFolder], wait_s: float, log: Log = print) -> Cancelled:
    """Ends the jobs of open trials and waits at most `wait_s` seconds for their end.

    Keeps a job that other open trials need too. Trials that had not begun become pending; one that runs writes a
    checkpoint and is preempted. Raises: UserError for a damaged submission file.
    """
    for line in reconcile.confirm_all(store):
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
    done.problem = client.cancel_jobs(ids)
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
    reconcile.release(store, noted, sorted(chosen))  # before scancel: a job that starts meanwhile skips them
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
