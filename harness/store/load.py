"""Reads a run folder: plan, finished records, statuses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import Fault, UserError
from harness.record import SCHEMA_VERSION, PlanFile, Record, TuningFile
from harness.store import TrialFolder

Model = TypeVar("Model", bound=BaseModel)
TUNING_FILE = "tuning/studies.json"
_REPEAT = "Delete the trial's folder and run the sweep again: only this trial is repeated"


@dataclass(frozen=True)
class Run:
    """All that reports know of a run. A trial has a result if it is in `records`."""

    plan: PlanFile
    records: dict[str, Record]
    statuses: dict[str, tuple[str, str]]
    """trial_id -> (status, message), for every trial of the plan."""
    tuning: TuningFile | None = None
    """What was tried before the rows of the plan were chosen; None where nothing was searched."""

    def missing(self, trial_id: str) -> tuple[str, str] | None:
        """(status, message) of a trial that is not finished; a trained one whose costs were not measured is not."""
        status, message = self.statuses.get(trial_id, ("pending", ""))
        record = self.records.get(trial_id)
        if record is None:
            return ("done, but record.json is missing" if status == "done" else status), message
        if record.costs.timings is None and status != "done":
            return f"costs not measured ({status})", message
        return None


def load(run: Path) -> Run:
    """Reads `plan.json` and, for each trial of the plan, its `record.json` and `status.json` where they exist.

    A trial without a readable status file is pending: statuses are hints, the records are the truth. Trial folders
    that the plan does not name (rows since removed from the sweep file) are no part of the question and are not read.

    Raises:
        UserError: files that are missing, broken or of a newer schema; all of them at once.
    """
    plan = _read_model(run / "plan.json", PlanFile, "Run the sweep again: it writes the plan anew")
    if isinstance(plan, list):
        raise UserError(plan)
    faults: list[Fault] = []
    records: dict[str, Record] = {}
    statuses: dict[str, tuple[str, str]] = {}
    for trial_id in dict.fromkeys(trial_id for row in plan.rows for trial_id in row.trials.values()):
        folder = run / "trials" / trial_id
        status = TrialFolder(folder).status()
        statuses[trial_id] = (status.status, status.message)
        if (folder / "record.json").exists():
            record = _read_record(folder / "record.json", trial_id, faults)
            records.update({trial_id: record} if record else {})
    tuning = _read_tuning(run, faults) if plan.tuned else None
    if faults:
        raise UserError(faults)
    return Run(plan, records, statuses, tuning)


def _read_tuning(run: Path, faults: list[Fault]) -> TuningFile | None:
    found = _read_model(run / TUNING_FILE, TuningFile, "Run the sweep again: it writes the file anew")
    if isinstance(found, list):
        faults.extend(found)
        return None
    return found


def _read_record(path: Path, trial_id: str, faults: list[Fault]) -> Record | None:
    found = _read_model(path, Record, _REPEAT)
    if isinstance(found, list):
        faults.extend(found)
        return None
    if found.trial_id != trial_id:
        faults.append(Fault(str(path), "trial_id", f"{found.trial_id} lies in the folder of {trial_id}. {_REPEAT}"))
    return found


def _read_model(path: Path, model: type[Model], way_out: str) -> Model | list[Fault]:
    content = _read_object(path, way_out)
    if isinstance(content, Fault):
        return [content]
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        message = f"{version} was found; this program reads up to {SCHEMA_VERSION}. Report with the newer program"
        return [Fault(str(path), "schema_version", message)]
    try:
        return model.model_validate(content)
    except ValidationError as error:
        return [
            Fault(str(path), ".".join(map(str, fault["loc"])), f"{fault['msg']}. {way_out}") for fault in error.errors()
        ]


def _read_object(path: Path, way_out: str) -> dict[str, Any] | Fault:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Fault(str(path), "", "no such file. A run is started with: python -m harness sweep SWEEP.yaml")
    except ValueError as error:
        return Fault(str(path), "", f"not readable as JSON ({error}). {way_out}")
    return content if isinstance(content, dict) else Fault(str(path), "", f"holds no JSON object. {way_out}")
