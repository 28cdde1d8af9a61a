"""Where the trials of a run stand: what `status` and `watch` show, and whether anything still works on them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness import units
from harness.errors import UserError
from harness.launch import launchers
from harness.launch.tasks import State, state_of
from harness.record import OPEN_STATUSES
from harness.store import Store, TrialFolder, TrialStatus
from harness.store.files import is_locked
from harness.store.plan_file import PlanFile
from harness.text.clean import LINE_LIMIT, one_line

TROUBLED = ("failed", "killed", "lost", "oom", "nan", "timeout", "invalid")
ASK_SECONDS = 10.0  # between two questions to a launcher while a user watches


@dataclass(frozen=True)
class Standing:
    """One trial of a plan: `written` is its status file, `status` what its files say together."""

    folder: TrialFolder
    label: str
    seed: str
    status: str
    message: str
    written: TrialStatus
    is_trained: bool = False

    @property
    def is_open(self) -> bool:
        """Returns whether the trial may still end by itself, or by running the sweep again."""
        return self.status in OPEN_STATUSES

    def progress(self) -> str:
        """Returns step, machine and age of the last status of a running trial; "" for any other."""
        if self.status != "running":
            return ""
        is_training = self.written.stage == "train" and self.written.num_steps
        steps = f"step {self.written.step}/{self.written.num_steps}, " if is_training else ""
        age = units.duration(max(time.time() - self.written.updated_at, 0.0))
        return f"{self.written.stage}, {steps}on {self.written.node or self.written.host}, {age} ago"

    def text(self) -> str:
        """Returns one line for `status`; of a long message its beginning and its end."""
        more = one_line(self.message) or self.progress()
        more += " (`logs` shows all of it)" if len(self.message) > LINE_LIMIT else ""
        starts = f" (start {self.written.num_starts})" if self.is_open and self.written.num_starts > 2 else ""
        return (
            f"{self.status:9s} {self.folder.trial_id}  {self.label}, seed {self.seed}{starts}{': ' * bool(more)}{more}"
        )


def standings(store: Store, plan: PlanFile) -> Iterator[Standing]:
    """Yields every trial of the plan, by row and seed."""
    for row in plan.rows:
        for seed, trial_id in row.trials.items():
            folder = store.trial(trial_id)
            try:
                state = state_of(folder)
            except UserError as error:  # a damaged record concerns this trial alone
                state = State("invalid", str(error))
            is_done = state.status == "done"
            written = TrialStatus() if is_done else folder.written_status()
            is_trained = is_done or folder.record_file.exists()
            yield Standing(folder, row.label, seed, state.status, state.message, written, is_trained)


def tally(found: Iterable[Standing]) -> str:
    """Returns the number of trials by status, most frequent first: '12 done, 3 running'."""
    counts = Counter(standing.status for standing in found)
    return ", ".join(f"{number} {status}" for status, number in counts.most_common())


def progress_line(
    num_trials: int, num_trained: int, num_timed: int | None, note: str = "", seconds_left: float | None = None
) -> str:
    """Returns the line by which a sweep, `status` and `watch` report progress.

    'trained 12/20, timed 0/20 (8 running), about 3:20 left'. `num_timed`: None where trials are not timed. `note`: what
    happens now, or the number of trials by status.
    """
    parts = [f"trained {num_trained}/{num_trials}"]
    parts += [f"timed {num_timed}/{num_trials}"] if num_timed is not None else []
    line = ", ".join(parts) + (f" ({note})" if note else "")
    return line if seconds_left is None else f"{line}, about {units.duration(seconds_left)} left"


def no_longer_planned(store: Store, plan: PlanFile) -> list[str]:
    """Returns the trials that have a folder and are not in the plan."""
    planned = {trial_id for row in plan.rows for trial_id in row.trials.values()}
    return [folder.trial_id for folder in store.trials() if folder.trial_id not in planned]


def without_job(store: Store, found: Iterable[Standing]) -> list[Standing] | None:
    """Returns the trials that wait for a job that its launcher no longer has; None where that is unknown.

    It is unknown where the launcher does not answer, and while a sweep command is at work, which may be submitting.
    """
    waiting = [item for item in found if item.is_open and item.status != "running" and item.written.job]
    if not waiting:
        return []
    if is_locked(store.lock_file):
        return None
    try:
        owners = launchers.owners(store, [item.folder for item in waiting])
    except UserError:  # a damaged submission file: the sweep command reports it
        return None
    if owners.problem:
        return None
    return [item for item in waiting if item.folder.trial_id not in owners.taken and _is_unchanged(item)]


def _is_unchanged(item: Standing) -> bool:
    """Returns whether a trial still waits: its job may have started, and ended, since the standing was read."""
    return state_of(item.folder).status == item.status and item.folder.written_status().job == item.written.job


class StrandedDetector:
    """Detects that nothing works on the open trials of some stores; needs two checks in a row that say so."""

    def __init__(self) -> None:
        self._times = 0
        self._next_check = 0.0

    def is_stranded(self, parts: Sequence[tuple[Store, Sequence[Standing]]]) -> bool:
        """Returns whether no open trial has a launcher, a worker or a job. Asks every `ASK_SECONDS` at most."""
        if time.monotonic() < self._next_check:
            return False
        stranded = all(_nothing_runs(store, found) for store, found in parts) and all(
            _nothing_waits(store, found) for store, found in parts
        )
        self._times = self._times + 1 if stranded else 0
        self._next_check = time.monotonic() + (0.0 if stranded else ASK_SECONDS)
        return self._times > 1


def _nothing_runs(store: Store, found: Sequence[Standing]) -> bool:
    return not is_locked(store.lock_file) and all(item.status != "running" for item in found)


def _nothing_waits(store: Store, found: Sequence[Standing]) -> bool:
    """Returns whether the launchers say that no trial has a job."""
    gone = without_job(store, found)
    waiting = [item for item in found if item.is_open and item.written.job]
    return gone is not None and len(gone) == len(waiting)
