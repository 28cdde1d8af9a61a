"""The only reader of plans, records and studies: one rule for versions, one kind of message for damaged files.

A file of an older schema version is readable, one of a newer version is refused. `load` reads a whole run.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import Fault, UserError
from harness.record import SCHEMA_VERSION, Record
from harness.store.plan_file import PlanFile, TuningFile

PLAN_FILE = "plan.json"
RECORD_FILE = "record.json"
STUDIES_FILE = "tuning/studies.json"
_REWRITE = "Run the sweep command again: it writes the file"
_REPEAT = "Delete the file and run the sweep again: only this trial is repeated"
_UPDATE = "Update the harness to the version that wrote the file"
Model = TypeVar("Model", bound=BaseModel)


class NewerVersionError(UserError):
    """A file that a newer version of this program wrote: sound, but not readable here."""


@dataclass(frozen=True)
class LoadedRun:
    """Plan, finished records and statuses of a run. A trial has a result if it is in `records`."""

    plan: PlanFile
    records: dict[str, Record]
    statuses: dict[str, tuple[str, str]]
    """trial_id -> (status, message), for every trial of the plan."""
    tuning: TuningFile | None = None
    """Every proposal of the search that chose the rows; None for a run without a search."""
    search_records: dict[str, Record] = field(default_factory=dict)
    """The records of proposals that were trained to the end."""

    def missing(self, trial_id: str) -> tuple[str, str] | None:
        """Return (status, message) of an unfinished trial, None for a finished one.

        A trained trial whose costs were not measured is unfinished.
        """
        status, message = self.statuses.get(trial_id, ("pending", ""))
        record = self.records.get(trial_id)
        if record is None:
            return ("done, but record.json is missing" if status == "done" else status), message
        if record.costs.timings is None and status != "done":
            return f"costs not measured ({status})", message
        return None


def load(run: Path) -> LoadedRun:
    """Read `plan.json` and, for each trial of the plan, its `record.json` and `status.json` where they exist.

    A trial without a readable status file is pending: statuses are hints, records are authoritative. Trial folders
    that the plan does not name (rows that were removed from the sweep file) are not read.

    Raises:
        UserError: files that are missing, damaged or of a newer version; all of them at once.
    """
    plan = read_plan(run)
    statuses = read_statuses(run, plan)  # before the records: a trial that ends meanwhile has one then
    faults: list[Fault] = []
    records: dict[str, Record] = {}
    tuning = None
    for trial_id in planned_trials(plan):
        try:
            record = read_record(run / "trials" / trial_id)
        except UserError as error:
            faults += error.faults
            continue
        records |= {trial_id: record} if record else {}
    try:
        tuning = read_studies(run) if plan.tuned else None
    except UserError as error:
        faults += error.faults
    if faults:
        raise UserError(faults)
    return LoadedRun(plan, records, statuses, tuning, read_search_records(run, tuning) if tuning else {})


def read_search_records(run: Path, tuning: TuningFile) -> dict[str, Record]:
    """Return the records of a search by trial; those that cannot be read are left out, since no number needs them."""
    found = {}
    for trial_id in {trial.trial_id for row in tuning.rows for trial in row.trials if trial.trial_id}:
        with suppress(UserError):
            found[trial_id] = read_record(run / "tuning" / "trials" / trial_id)
    return {trial_id: record for trial_id, record in found.items() if record is not None}


def planned_trials(plan: PlanFile) -> list[str]:
    """Return the ids of all trials of a plan, each once, in the order of rows and seeds."""
    return list(dict.fromkeys(trial_id for row in plan.rows for trial_id in row.trials.values()))


def read_statuses(run: Path, plan: PlanFile) -> dict[str, tuple[str, str]]:
    """Return (status, message) of every trial of the plan: a running trial without a worker is lost."""
    from harness.store.trial import TrialFolder  # it reads its record through this file

    found = {trial_id: TrialFolder(run / "trials" / trial_id).status() for trial_id in planned_trials(plan)}
    return {trial_id: (status.status, status.message) for trial_id, status in found.items()}


def read_plan(run: Path) -> PlanFile:
    """Read the plan of a run. Raises: UserError where there is none, or one that cannot be used."""
    path = run / PLAN_FILE
    try:
        return _read_model(path, PlanFile, _REWRITE)
    except FileNotFoundError:
        raise UserError(
            f"{run}: no run is there (no {PLAN_FILE}). Give the folder of a run, e.g. runs/window_size; "
            "`python -m harness sweep SWEEP.yaml` starts one."
        ) from None
    except NotADirectoryError:
        raise UserError(f"{run}: is a file. Give the folder of a run, e.g. runs/{run.stem}.") from None


def read_record(trial: Path) -> Record | None:
    """Read the record in a trial's folder; None if there is none.

    Raises:
        UserError: damaged, of a newer version, or the record of another trial.
    """
    path = trial / RECORD_FILE
    try:
        record = _read_model(path, Record, _REPEAT)
    except FileNotFoundError:
        return None
    if record.trial_id != trial.name:
        message = f"{record.trial_id} lies in the folder of trial {trial.name}. {_REPEAT}."
        raise UserError([Fault(str(path), "trial_id", message)])
    return record


def read_studies(run: Path) -> TuningFile:
    """Read the search of a run. Raises: UserError where it is missing or cannot be used."""
    try:
        return _read_model(run / STUDIES_FILE, TuningFile, _REWRITE)
    except FileNotFoundError:
        raise UserError(f"{run / STUDIES_FILE}: missing. {_REWRITE}.") from None


def _read_model(path: Path, model: type[Model], way_out: str) -> Model:
    """Read a JSON file of one schema. Raises: UserError; FileNotFoundError and NotADirectoryError for the caller."""
    content = _read_object(path, way_out)
    version = content.get("schema_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise UserError(f"{path}: damaged (schema_version is {version!r}, not a number from 1 on). {way_out}.")
    if version > SCHEMA_VERSION:
        raise NewerVersionError(
            f"{path}: schema version {version}; this version of the harness reads up to {SCHEMA_VERSION}. {_UPDATE}."
        )
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _refusal(path, error, way_out) from error


def _refusal(path: Path, error: ValidationError, way_out: str) -> UserError:
    """Fields that are unknown here are no damage: a newer version may have written them."""
    faults = [(".".join(map(str, item["loc"])), item["type"], item["msg"]) for item in error.errors()]
    if all(kind == "extra_forbidden" for _, kind, _ in faults):
        names = ", ".join(name for name, _, _ in faults)
        return NewerVersionError(f"{path}: fields that this version of the harness does not know: {names}. {_UPDATE}.")
    return UserError(Fault(str(path), name, f"damaged ({message}). {way_out}.") for name, _, message in faults)


def _read_object(path: Path, way_out: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({str(error).splitlines()[0]}). {way_out}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: damaged (not a JSON object). {way_out}.")
    return content
