"""Checks a whole run for `doctor`: seals, identities, states, leftovers, trash."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.bounds import is_id
from harness.errors import UserError
from harness.fields import get_field
from harness.record import Record
from harness.store.checks.journal import JOURNAL, check_against_studies, check_journal
from harness.store.files import is_locked
from harness.store.identity import ids_of_config
from harness.store.load import check_row, read_studies
from harness.store.plan_file import PlanFile
from harness.store.run import Store, parts_of
from harness.store.status import DAMAGED_STATUS
from harness.store.trial import TrialFolder
from harness.units import counted

Locations = Callable[[str], Collection[str] | None]
SWEEP = "run the sweep command again"


@dataclass(frozen=True)
class RunFinding:
    """Something that is wrong in a run, or worth knowing (`is_wrong` False), and what to do about it."""

    where: str
    what: str
    todo: str = ""
    is_wrong: bool = True


def check_run(run: Path, locations: Locations) -> Iterator[RunFinding]:
    """Yield what is wrong in a run or its search, and what is worth knowing.

    `locations` returns the fields of a data set that say where the data lie, by its name.

    Raises: UserError where the folder is no run, or its plan cannot be used.
    """
    parts = parts_of(run)
    for store in parts:
        plan = store.plan()
        yield from _check_trials(store, plan, locations, is_search=store is not parts[0])
        yield from _check_folders(store, plan)
        if store.trash.items():
            text = counted(len(store.trash.items()), "thing")
            yield RunFinding(
                str(store.trash.path), text, f"`python -m harness clean {run} --trash` deletes them", False
            )
    yield from _check_search(run, parts[0].plan())


def _check_search(run: Path, plan: PlanFile) -> Iterator[RunFinding]:
    """Yield what is wrong with the files of a search."""
    path = run / JOURNAL
    try:
        if plan.tuned and plan.rows:
            read_studies(run)
        if path.exists():
            lost = check_against_studies(run, check_journal(path))
            if lost:
                yield RunFinding(str(path), f"its last {lost} lines are lost", f"{SWEEP}: it makes them again")
    except UserError as error:
        yield from (RunFinding(fault.where or str(path), fault.message) for fault in error.faults)


def _check_trials(store: Store, plan: PlanFile, locations: Locations, *, is_search: bool) -> Iterator[RunFinding]:
    unsealed: Counter[str] = Counter({"plan": not plan.is_sealed})
    for row in plan.rows:
        for seed, trial_id in row.trials.items():
            folder = store.trial(trial_id)
            record = None
            try:
                record = folder.record()
                if record is not None and not is_search:  # the rows of a search are its trials
                    check_row(record, row, seed)
            except UserError as error:
                yield RunFinding(str(folder.record_file), error.faults[0].message)
                continue
            unsealed["records"] += record is not None and not record.is_sealed
            yield from _check_state(folder, record, locations)
    if unsealed.total():
        text = f"of an older version, without seal: {unsealed['records']} records{', the plan' * unsealed['plan']}"
        yield RunFinding(str(store.path), text, "nothing: they are read, and damage may not show", False)


def _check_state(folder: TrialFolder, record: Record | None, locations: Locations) -> Iterator[RunFinding]:
    """Yield what is wrong with a trial whose record, if it has one, is sound."""
    if not folder.path.is_dir() or folder.path.is_symlink():
        if os.path.lexists(folder.path):
            yield RunFinding(str(folder.path), "a link or a file, where the folder of a trial belongs", "move it away")
        return
    status = folder.status()
    if status.message == DAMAGED_STATUS and status.status == "pending":
        yield RunFinding(str(folder.status_file), "damaged", f"{SWEEP}: it writes the file")
    elif record is None and status.status == "done":
        yield RunFinding(str(folder.record_file), "missing, and the trial was done", f"{SWEEP}: it repeats the trial")
    elif record is not None and record.costs.timings is not None and status.status not in ("done", "running"):
        yield RunFinding(str(folder.status_file), f"says {status.status}, and the record is complete", SWEEP)
    if record is None and folder.config_file.exists():
        yield from _check_config(folder, locations)
    if not folder.is_held():
        yield from (RunFinding(str(file), "left by a killed writer", SWEEP, False) for file in folder.stale_files())


def _check_config(folder: TrialFolder, locations: Locations) -> Iterator[RunFinding]:
    """Yield what is wrong with the configuration that an open trial will run with."""
    try:
        config = folder.config()
    except UserError:
        yield RunFinding(str(folder.config_file), "damaged", f"{SWEEP}: it writes the file")
        return
    data_identity = get_field(config, "launch.data_identity", None)
    trial = get_field(config, "trial", None)
    if isinstance(data_identity, str) and isinstance(trial, dict):
        location_fields = locations(str(get_field(trial, "data.name", "")))
        try:
            _, own = ids_of_config(trial, data_identity, trial.get("seed"), location_fields)
        except (ValueError, TypeError):  # NaN, or a value that JSON lacks
            own = "unknown"
        if own != folder.trial_id:
            what = f"it is the configuration of trial {own}"
            yield RunFinding(str(folder.config_file), what, f"{SWEEP}: it writes the file")


def _check_folders(store: Store, plan: PlanFile) -> Iterator[RunFinding]:
    """Yield what lies in the run and does not belong there."""
    planned = {trial_id for row in plan.rows for trial_id in row.trials.values()}
    dropped = [folder.trial_id for folder in store.trials() if folder.trial_id not in planned]
    if dropped:
        todo = f"`python -m harness clean {store.path} --stale` moves them to the trash"
        text = f"the sweep no longer asks for {len(dropped)} of its trials: {', '.join(dropped[:3])}"
        yield RunFinding(str(store.trials_folder), text, todo, False)
    places = [store.path, store.trials_folder] if store.trials_folder.is_dir() else [store.path]
    for path in (path for place in places for path in sorted(place.iterdir())):
        if path.is_symlink():
            yield RunFinding(str(path), "a link: commands do not follow it", "replace it by what it points to")
        elif path.parent == store.trials_folder and not is_id(path.name):
            yield RunFinding(str(path), "no trial: its name is no id of 12 hex digits", "move it away")
        elif path.name.startswith(".") and path.name.endswith(".tmp") and not is_locked(store.lock_file):
            yield RunFinding(str(path), "left by a killed writer", SWEEP, False)
