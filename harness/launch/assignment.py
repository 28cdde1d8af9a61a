"""Assigns trials to jobs: a trial's status names its job, and changes only while no worker has the trial."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from harness.launch.tasks import state_of
from harness.record import OPEN_STATUSES
from harness.store import Store, TrialFolder, TrialStatus, exclusive_lock
from harness.store.lease import last_beat


def assign(folder: TrialFolder, job: str, words: str = "") -> bool:
    """Notes that a job has an open trial; returns whether it was possible. Call it before the job can start.

    `words`: what the launcher knows of a job before that never started the trial.
    """

    def assigned(status: TrialStatus) -> TrialStatus:
        return TrialStatus(
            status="queued", job=job, num_starts=status.num_starts, step=status.step, num_steps=status.num_steps,
            loss=status.loss, num_submissions=status.num_submissions + 1,
            message=words or (status.message if status.num_submissions else ""),
        )  # fmt: skip

    return _change_open(folder, assigned)


def release(folder: TrialFolder, is_the_job: Callable[[str], bool]) -> bool:
    """Makes a trial pending again if its job is the one meant; returns whether it did.

    A job that starts later sees that the trial is no longer its own.
    """

    def released(status: TrialStatus) -> TrialStatus | None:
        number = max(0, status.num_submissions - 1)  # that job does not count: it was refused, or cancelled
        fresh = replace(status, status="pending", job="", message=status.message if number else "")
        return replace(fresh, num_submissions=number) if is_the_job(status.job) else None

    return _change_open(folder, released)


def end_never_started(folder: TrialFolder, most: int, words: str) -> bool:
    """Ends an idle trial as invalid whose jobs were submitted again `most` times and never started it.

    Returns whether it did. `words`: what became of the last job.
    """

    def ended(status: TrialStatus) -> TrialStatus | None:
        if status.num_submissions <= most:
            return None
        jobs = f"{status.num_submissions} jobs were submitted for it and none started it (launch.max_resubmissions)"
        message = f"{jobs}; the last one: {words}. Correct its resources, then `retry`"
        return replace(status, status="invalid", job="", message=message)

    return folder.written_status().num_submissions > most and _change_open(folder, ended)


def leave_job(folder: TrialFolder) -> None:
    """Notes that an idle trial has no job any more; its status stays."""
    _change_open(folder, lambda status: replace(status, job=""))


def _change_open(folder: TrialFolder, change: Callable[[TrialStatus], TrialStatus | None]) -> bool:
    """Changes the status of an open trial that no worker has; returns whether it did.

    Holds the trial's lock meanwhile, so that no worker writes in between. A worker waits for the lock for a second.
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


def dropped_trials(store: Store, planned: Collection[str]) -> list[TrialFolder]:
    """Returns the trials that have a job or a worker and are not in the plan."""
    found = []
    for folder in store.trials():
        if folder.trial_id not in planned:
            status = folder.status()
            if status.status == "running" or (status.job and status.status in ("queued", "preempted", "lost")):
                found.append(folder)
    return found
