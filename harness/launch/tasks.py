"""The tasks that a run still has, read from its files."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from harness.code_identity import code_identity
from harness.errors import UserError
from harness.fields import get_field
from harness.launch.snapshot import Snapshot
from harness.record import FINAL_STATUSES, Record
from harness.registry import variant_file
from harness.store import Store, TrialFolder, TrialStatus, side_by_side
from harness.store.load import damage_of
from harness.store.sealed.models import DamagedFileError, UnreadableError
from harness.sweep.plan import Plan, PlannedTrial

_CONCERNS_ONE_FOLDER = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class TrialTask:
    """One stage of one trial that is still to be run."""

    trial: PlannedTrial
    folder: TrialFolder
    stage: str
    num_threads: int
    device: str
    num_processes: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)  # passed to the worker; cannot change what a number means


@dataclass(frozen=True)
class Todo:
    """The trials of a plan by what is to be done with them; `failed` ended badly before and need `retry`.

    `stale` are those of `done` whose record other code made, `unmarked` those whose status file is not `done` yet:
    their worker was killed after it had written the record.
    """

    tasks: list[TrialTask] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    unmarked: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """Returns one line: how many trials are open, done and failed."""
        stages = Counter(task.stage for task in self.tasks)
        parts = [f"{stages['train']} to train", f"{stages['measure']} to measure", f"{len(self.done)} done"]
        if self.stale:
            parts.append(f"{len(self.stale)} of them by other code (`--stale rerun` repeats them)")
        if self.failed:
            parts.append(f"{len(self.failed)} failed (`retry` starts them again)")
        return ", ".join(parts)


@dataclass(frozen=True)
class State:
    """Status of a trial by its files, and the identity of the code that made its record, if there is one.

    `is_marked`: `status.json` alone says the same.
    """

    status: str
    message: str = ""
    code: str | None = None
    is_marked: bool = False


def state_of(folder: TrialFolder, *, verify: bool = False, known: TrialStatus | None = None) -> State:
    """Returns the status of a trial: the record is authoritative, `status.json` (if read before: `known`) advisory.

    A status that carries the stamp of the present record saves reading it, unless `verify`: a run may have thousands.
    A trial whose record is damaged is invalid.

    Raises: UserError for a record of a newer version.
    """
    status = folder.status() if known is None else known
    stamp = "" if verify else status.record_stamp
    if status.status == "done" and stamp and stamp == folder.record_stamp():
        return State("done", code=status.code, is_marked=True)
    try:
        record = folder.record()
    except (DamagedFileError, UnreadableError) as error:
        return State("invalid", damage_of(error))
    code = None if record is None else record.code
    if record is not None and (record.costs.timings is not None or not _is_timed(folder, record)):
        return State("done", code=code)
    if record is not None and status.status in ("done", "pending", "queued"):
        return State("queued", "trained; to be measured", code)
    if status.status == "queued" and status.job:
        return State("queued", f"job {status.job}", code, is_marked=True)
    if status.status in ("done", "pending", "queued"):  # done without its record, or only trained
        return State("pending", status.message if status.status == "pending" else "", code)
    return State(status.status, status.message, code, is_marked=True)


def _is_timed(folder: TrialFolder, record: Record) -> bool:
    """Returns whether a trial is measured after training: all but those of a search that needs no timings."""
    if "test" in record.scores:
        return True
    try:
        return bool(get_field(folder.config(), "launch.timed", True))
    except UserError:  # the sweep command writes the file again
        return True


def find_todo(
    plan: Plan,
    store: Store,
    only: Sequence[PlannedTrial] | None = None,
    code_of: Callable[[PlannedTrial], str] | None = None,
) -> Todo:
    """Sorts the trials of a plan (or a selection of them) by the status of their files.

    `code_of` gives the identity of the code that a trial would run with now; without it nothing is stale.
    """
    todo = Todo()
    for trial in plan.trials if only is None else only:
        folder = store.trial(trial.trial_id)
        state = state_of(folder)
        if state.status == "done":
            todo.done.append(trial.trial_id)
            if not state.is_marked:
                todo.unmarked.append(trial.trial_id)
            if code_of is not None and state.code != code_of(trial):
                todo.stale.append(trial.trial_id)
        elif state.status in FINAL_STATUSES:
            todo.failed[trial.trial_id] = f"{state.status}: {state.message}"
        else:
            todo.tasks.append(task_of(trial, folder))
    return todo


def task_of(trial: PlannedTrial, folder: TrialFolder) -> TrialTask:
    """Returns the next stage of an open trial."""
    train = trial.config["train"]
    stage = "train" if not folder.record_file.exists() else "measure"
    num_processes = train["num_processes"] if stage == "train" else 1  # measuring is for rank 0 alone
    return TrialTask(trial, folder, stage, train["num_threads"], train["device"], num_processes)


def code_of_trials(variant_dirs: Sequence[Path]) -> Callable[[PlannedTrial], str]:
    """Returns a function that gives the identity of the code with which a trial would run now."""
    file_of = cache(lambda name: variant_file(name, variant_dirs))
    return lambda trial: code_identity(file_of(trial.config["variant"]["name"]))


def repeat(store: Store, trial_ids: Iterable[str]) -> None:
    """Moves the records of trials to the trash, so that the trials are pending again."""
    for trial_id in trial_ids:
        folder = store.trial(trial_id)
        if not folder.is_held():
            folder.set_record_aside("made by other code; trained again")
            folder.requeue(from_scratch=True)


def mark_done(store: Store, trial_ids: Iterable[str]) -> None:
    """Writes the status of finished trials whose workers were killed, and removes their half-written files."""
    for trial_id in trial_ids:
        folder = store.trial(trial_id)
        record = folder.sound_record()
        if record is None or folder.is_held():
            continue
        status = folder.written_status()
        status.status, status.message, status.code = "done", "", record.code or ""
        status.record_stamp = folder.record_stamp()
        with suppress(OSError):  # full or read-only: the record counts, and the next command tries again
            for stale in folder.stale_files():
                stale.unlink(missing_ok=True)
            folder.write_status(status)


def prepare(todo: Todo, plan: Plan, code: Snapshot, refused: dict[str, OSError] | None = None) -> None:
    """Writes the configuration of every trial that is to be run, and the code that it has to run from.

    `refused`: takes the errors of folders that cannot be written, by trial; without it, the first of them is raised.
    """
    extra: Mapping[str, Any] = {
        "code": str(code.path),
        "variant_dirs": [str(folder.resolve()) for folder in code.variant_dirs],
        "checkpoint_every_steps": plan.launch.checkpoint_every_steps,
        "memory_limit_mib": plan.launch.memory_limit_mib,
        "stall_minutes": plan.launch.stall_minutes,
    }

    def write(task: TrialTask) -> None:
        launch = {**extra, **task.options, "data_identity": task.trial.data_identity}
        try:
            task.folder.create({"trial": task.trial.config, "launch": launch})
        except OSError as error:
            if refused is None or error.errno not in _CONCERNS_ONE_FOLDER:
                raise
            refused[task.trial.trial_id] = error

    side_by_side(write, todo.tasks)
