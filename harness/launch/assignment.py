"""Assigns trials to jobs: a trial's status names its job, and changes only while no worker has the trial."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from harness.launch.tasks import state_of
from harness.record import OPEN_STATUSES
from harness.store import Store, TrialFolder, TrialStatus, exclusive_lock
from harness.store.lease import last_beat


def assign(folder: TrialFolder, job: str) -> bool:
    """Notes that a job has an open trial; returns whether it was possible. Call it before the job can start."""

    def assigned(status: TrialStatus) -> TrialStatus:
        return TrialStatus(
            status="queued", job=job, num_starts=status.num_starts, step=status.step, num_steps=status.num_steps,
            loss=status.loss,
        )  # fmt: skip

    return _change_open(folder, assigned)


def release(folder: TrialFolder, is_the_job: Callable[[str], bool]) -> bool:
    """Makes a trial pending again if its job is the one meant; returns whether it did.

    A job that starts later sees that the trial is no longer its own.
    """

    def released(status: TrialStatus) -> TrialStatus | None:
        return replace(status, status="pending", job="", message="") if is_the_job(status.job) else None

    return _change_open(folder, released)


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
