"""Whether anything still brings open trials forward: a launcher, a worker, or a job that SLURM has."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence

from harness.errors import UserError
from harness.launch.overview import Standing
from harness.launch.slurm.reconcile import ask_queue
from harness.launch.tasks import state_of
from harness.store import Store
from harness.store.files import is_locked

LOOK_SECONDS = 10.0  # between questions to squeue while somebody watches


def without_job(store: Store, found: Iterable[Standing]) -> list[Standing] | None:
    """Those that wait for a job that SLURM does not have any more; None where nobody can tell.

    Nobody can where squeue is missing or does not answer, and while a launcher is at work, which may be submitting.
    """
    waiting = [item for item in found if item.is_open and item.status != "running" and item.written.job]
    if not waiting:
        return []
    if shutil.which("squeue") is None or is_locked(store.lock_file):
        return None
    try:
        queue = ask_queue(store)
    except UserError:  # a damaged note of a submission: the sweep command says so
        return None
    if queue.problem:
        return None
    return [item for item in waiting if item.written.job not in queue.live and _is_as_before(item)]


def _is_as_before(item: Standing) -> bool:
    """Whether a trial still waits: its job may have begun, and ended, since we looked."""
    return state_of(item.folder).status == item.status and item.folder.written_status().job == item.written.job


class StrandedDetector:
    """Notices, at the second look in a row, that nothing brings the open trials of some stores forward."""

    def __init__(self) -> None:
        self._times = 0
        self._next_look = 0.0

    def is_stranded(self, parts: Sequence[tuple[Store, Sequence[Standing]]]) -> bool:
        """Whether no open trial has a launcher, a worker or a job. Asks squeue now and then."""
        if time.monotonic() < self._next_look:
            return False
        stranded = all(_nothing_runs(store, found) for store, found in parts) and all(
            _nothing_waits(store, found) for store, found in parts
        )
        self._times = self._times + 1 if stranded else 0
        self._next_look = time.monotonic() + (0.0 if stranded else LOOK_SECONDS)
        return self._times > 1


def _nothing_runs(store: Store, found: Sequence[Standing]) -> bool:
    return not is_locked(store.lock_file) and all(item.status != "running" for item in found)


def _nothing_waits(store: Store, found: Sequence[Standing]) -> bool:
    """Whether SLURM says that no trial has a job."""
    gone = without_job(store, found)
    waiting = [item for item in found if item.is_open and item.written.job]
    return gone is not None and len(gone) == len(waiting)
