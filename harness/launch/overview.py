"""Where the trials of a run stand: what `status` and `watch` show, and whether anything still works on them."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness import units
from harness.errors import UserError
from harness.launch import launchers
from harness.launch.base import answers_within
from harness.launch.display.time_left import seconds_left
from harness.launch.tasks import State, state_of
from harness.record import OPEN_STATUSES
from harness.store import Store, TrialFolder, TrialStatus
from harness.store.files import is_locked
from harness.store.marks import are_mixed
from harness.store.plan_file import PlanFile
from harness.text.clean import LINE_LIMIT, one_line

TROUBLED = ("failed", "killed", "lost", "oom", "nan", "timeout", "invalid")
STARTING = "starting workers"  # what a sweep does before the first step of a trial
ASK_SECONDS = 10.0  # between two questions to a launcher while a user watches
ANSWER_SECONDS = 3.5  # for all answers of launchers to one command that only shows where trials stand


@dataclass(frozen=True)
class Standing:
    """One trial of a plan: `written` is its status file and lock, `status` what all its files say."""

    folder: TrialFolder
    label: str
    seed: str
    status: str
    message: str
    written: TrialStatus
    is_trained: bool = False
    code: str | None = None

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
        name = one_line(f"{self.label}, seed {self.seed}")
        return f"{self.status:9s} {self.folder.trial_id}  {name}{starts}{': ' * bool(more)}{more}"


def standings(store: Store, plan: PlanFile, *, verify: bool = False) -> Iterator[Standing]:
    """Yields every trial of the plan, by row and seed; `verify`: see `state_of`."""
    for row in plan.rows:
        for seed, trial_id in row.trials.items():
            folder = store.trial(trial_id)
            written = folder.status()
            try:
                state = state_of(folder, verify=verify, known=written)
            except UserError as error:  # a record of a newer version concerns this trial alone
                state = State("invalid", str(error))
            is_trained = state.status == "done" or folder.record_file.exists()
            yield Standing(folder, row.label, seed, state.status, state.message, written, is_trained, state.code)


def several_codes(found: Iterable[Standing]) -> list[str]:
    """Returns a line for each row whose finished trials were made by several versions of the code."""
    rows: dict[str, Counter[str]] = {}
    for standing in found:
        if standing.status == "done" and standing.code:
            rows.setdefault(standing.label, Counter())[standing.code] += 1
    return [
        f"{label}: seeds of several versions of the code: {', '.join(f'{code} ({n})' for code, n in counts.items())}"
        for label, counts in rows.items()
        if are_mixed(counts)
    ]


def tally(found: Iterable[Standing]) -> str:
    """Returns the number of trials by status, most frequent first: '12 done, 3 running'."""
    counts = Counter(standing.status for standing in found)
    return ", ".join(f"{number} {status}" for status, number in counts.most_common())


def progress_line(
    num_trials: int, num_trained: int, num_timed: int | None, note: str = "", seconds: float | None = None
) -> str:
    """Returns the line by which a sweep, `status` and `watch` report progress.

    'trained 12/20, timed 0/20 (8 running), about 3:20 left'. `num_timed`: None where trials are not timed. `note`: what
    happens now, or the number of trials by status. `seconds`: the time left, if it is known.
    """
    parts = [f"trained {num_trained}/{num_trials}"]
    parts += [f"timed {num_timed}/{num_trials}"] if num_timed is not None else []
    return with_time_left(", ".join(parts) + (f" ({note})" if note else ""), seconds)


def with_time_left(line: str, seconds: float | None) -> str:
    """Returns a line of progress with the time left, if that is known."""
    return line if seconds is None else f"{line}, about {units.duration(seconds)} left"


def summary(store: Store, found: Sequence[Standing], *, timed: bool = True) -> tuple[str, float | None]:
    """Returns (the line of progress of a run without the time left, the seconds left or None).

    `timed`: the trials are measured after training, as all but those of a search.
    """
    note = tally(found)
    if _is_starting(store, found):
        note = f"{note}, {STARTING}"
    num_done = sum(item.status == "done" for item in found)
    num_trained = sum(item.is_trained for item in found)
    return progress_line(len(found), num_trained, num_done if timed else None, note), seconds_left(found, timed=timed)


def _is_starting(store: Store, found: Sequence[Standing]) -> bool:
    """Returns whether a sweep command is at work on this machine and none of its workers has made a step."""
    waiting = [item for item in found if item.is_open]
    working = [item for item in waiting if item.status == "running" and (item.written.step or item.is_trained)]
    is_timing = any(item.status == "done" for item in found)
    has_jobs = any(item.written.job for item in waiting)
    return bool(waiting) and not (working or is_timing or has_jobs) and is_locked(store.lock_file)


def no_longer_planned(store: Store, plan: PlanFile) -> list[str]:
    """Returns the trials that have a folder and are not in the plan."""
    planned = {trial_id for row in plan.rows for trial_id in row.trials.values()}
    if not store.trials_folder.is_dir():
        return []
    with os.scandir(store.trials_folder) as entries:  # names only: a run may have thousands of trials
        return sorted(entry.name for entry in entries if entry.name not in planned and entry.is_dir())


@dataclass(frozen=True)
class JobAnswers:
    """What launchers say of the trials that wait for a job.

    `gone`: trials whose launcher no longer has their job; None where that is unknown, because of a `problem` or while
    a sweep command is at work, which may be submitting. `reasons`: trial id -> what the queue says of its job.
    """

    gone: list[Standing] | None
    reasons: dict[str, str]
    problem: str = ""

    @cached_property
    def gone_ids(self) -> set[str]:
        """Returns the ids of the trials whose job is gone."""
        return {item.folder.trial_id for item in self.gone or ()}


class _SeenFolder(TrialFolder):
    """The folder of a trial whose status was read a moment ago: a run may have thousands."""

    def __init__(self, item: Standing):
        vars(self).update(vars(item.folder))
        self._seen = item.written

    def status(self) -> TrialStatus:
        """Returns the status that was read."""
        return self._seen


def ask_about_jobs(store: Store, found: Iterable[Standing], wait_s: float = ANSWER_SECONDS) -> JobAnswers:
    """Asks the launchers of trials that wait for a job; takes `wait_s` seconds at most."""
    waiting = [item for item in found if item.is_open and item.status != "running" and item.written.job]
    if not waiting:
        return JobAnswers([], {})
    try:
        with answers_within(wait_s):
            owners = launchers.owners(store, [_SeenFolder(item) for item in waiting])
    except (UserError, OSError, subprocess.SubprocessError) as error:  # a damaged submission file, a hanging ssh
        return JobAnswers(None, {}, str(error))
    if owners.problem or is_locked(store.lock_file):
        return JobAnswers(None, owners.reasons, owners.problem)
    gone = [item for item in waiting if item.folder.trial_id not in owners.taken and _is_unchanged(item)]
    return JobAnswers(gone, owners.reasons)


def reasons_line(answers: Iterable[JobAnswers]) -> str:
    """Returns why jobs wait, by the number of trials: '12 PENDING, Resources; 4 PENDING, PartitionConfig'."""
    counts = Counter(reason for answer in answers for reason in answer.reasons.values())
    return "; ".join(f"{number} {reason}" for reason, number in counts.most_common())


def _is_unchanged(item: Standing) -> bool:
    """Returns whether a trial still waits: its job may have started, and ended, since the standing was read."""
    return state_of(item.folder).status == item.status and item.folder.written_status().job == item.written.job


class StrandedDetector:
    """Detects that nothing works on the open trials of some stores; needs two checks in a row that say so.

    `answers` are the last ones of the launchers, one for each store.
    """

    def __init__(self) -> None:
        self.answers: list[JobAnswers] = []
        self._times = 0
        self._next_check = 0.0

    def is_stranded(self, parts: Sequence[tuple[Store, Sequence[Standing]]]) -> bool:
        """Returns whether no open trial has a launcher, a worker or a job. Asks every `ASK_SECONDS` at most."""
        if time.monotonic() < self._next_check:
            return False
        quiet = all(_nothing_runs(store, found) for store, found in parts)
        self.answers = [ask_about_jobs(store, found) for store, found in parts]
        stranded = quiet and all(
            _nothing_waits(answer, found) for answer, (_, found) in zip(self.answers, parts, strict=True)
        )
        self._times = self._times + 1 if stranded else 0
        self._next_check = time.monotonic() + (0.0 if stranded else ASK_SECONDS)
        return self._times > 1


def _nothing_runs(store: Store, found: Sequence[Standing]) -> bool:
    return not is_locked(store.lock_file) and all(item.status != "running" for item in found)


def _nothing_waits(answer: JobAnswers, found: Sequence[Standing]) -> bool:
    """Returns whether the launchers say that no trial has a job."""
    waiting = [item for item in found if item.is_open and item.written.job]
    return answer.gone is not None and len(answer.gone) == len(waiting)
