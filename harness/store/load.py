"""The only reader of plans, records and studies: one rule for versions, one kind of message for damaged files.

A file of an older schema version is readable, one of a newer version is refused. `load` reads a whole run.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.bounds import is_id
from harness.errors import Fault, UserError
from harness.record import Record
from harness.store.identity import can_be_compared, ids_of_record
from harness.store.plan_file import PlanFile, PlannedRow, TuningFile
from harness.store.sealed.models import DamagedFileError, NewerVersionError, read_model
from harness.store.sealed.reading import MIB

PLAN_FILE = "plan.json"
RECORD_FILE = "record.json"
STUDIES_FILE = "tuning/studies.json"
MAX_RECORD_BYTES = 32 * MIB
_REWRITE = "Run the sweep command again: it writes the file, and finished trials stay"
_REPEAT = "`python -m harness retry {}` moves it to the trash and repeats this trial alone"


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

    @property
    def num_unsealed(self) -> int:
        """Return the number of records of older versions, which have no seal that could show damage."""
        return sum(not record.is_sealed for record in self.records.values())

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

    A trial without a readable status file is pending: statuses are hints, records are authoritative. A trial whose
    record is damaged, or is not that of its row, is invalid; the other trials do not suffer. Trial folders that the
    plan does not name (rows that were removed from the sweep file) are not read.

    Raises:
        UserError: the plan or the search is missing or damaged, or files are of a newer version; all of them at once.
    """
    plan = read_plan(run)
    statuses = read_statuses(run, plan)  # before the records: a trial that ends meanwhile has one then
    faults: list[Fault] = []
    records: dict[str, Record] = {}
    tuning = None
    for row in plan.rows:
        for seed, trial_id in row.trials.items():
            try:
                record = read_record(run / "trials" / trial_id)
                check_row(record, row, seed)
            except NewerVersionError as error:
                faults += error.faults
                continue
            except UserError as error:
                statuses[trial_id] = ("invalid", damage_of(error))
                continue
            records |= {trial_id: record} if record else {}
    try:
        tuning = read_studies(run) if plan.tuned else None
    except UserError as error:
        faults += error.faults
    if faults:
        raise UserError(faults)
    return LoadedRun(plan, records, statuses, tuning, read_search_records(run, tuning))


def read_search_records(run: Path, tuning: TuningFile | None) -> dict[str, Record]:
    """Return the records of a search by trial; those that cannot be read are left out, since no number needs them."""
    rows, found = tuning.rows if tuning else [], {}
    for trial_id in {trial.trial_id for row in rows for trial in row.trials if trial.trial_id}:
        with suppress(UserError):
            found[trial_id] = read_record(run / "tuning" / "trials" / trial_id)
    return {trial_id: record for trial_id, record in found.items() if record is not None}


def damage_of(error: UserError) -> str:
    """Return the status message of a trial whose record cannot be used."""
    return f"damaged record ({error.reason})" if isinstance(error, DamagedFileError) else str(error)


def check_row(record: Record | None, row: PlannedRow, seed: str) -> None:
    """Check that a record answers for its place in the table. Raises: UserError."""
    if record is None or not can_be_compared(record):
        return
    own_row, _ = ids_of_record(record)
    if (own_row, str(record.seed)) != (row.row_id, seed):
        raise UserError(
            f"the record is of row {own_row}, seed {record.seed}, and {PLAN_FILE} has it in row {row.row_id}, "
            f"seed {seed}. {_REWRITE}."
        )


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
        plan = read_model(path, PlanFile, _REWRITE)
    except FileNotFoundError:
        raise UserError(
            f"{run}: no run is there (no {PLAN_FILE}). Give the folder of a run, e.g. runs/window_size; "
            "`python -m harness sweep SWEEP.yaml` starts one."
        ) from None
    except NotADirectoryError:
        raise UserError(f"{run}: is a file. Give the folder of a run, e.g. runs/{run.stem}.") from None
    _check_ids(path, [text for row in plan.rows for text in (row.row_id, *row.trials.values())] + plan.stale)
    return plan


def read_record(trial: Path) -> Record | None:
    """Read the record in a trial's folder; None if there is none.

    Raises:
        UserError: damaged, of a newer version, or the record of another trial or configuration.
    """
    path, way_out = trial / RECORD_FILE, _REPEAT.format(trial.parent.parent)
    try:
        record = read_model(path, Record, way_out, MAX_RECORD_BYTES)
    except FileNotFoundError:
        return None
    if record.trial_id != trial.name:
        reason = f"{record.trial_id[:40]} lies in the folder of trial {trial.name}"
        raise DamagedFileError(path, [("trial_id", reason)], way_out)
    if not can_be_compared(record):
        return record
    try:
        _, own = ids_of_record(record)
    except (ValueError, TypeError) as error:
        raise DamagedFileError(path, [("config", str(error))], way_out) from error
    if own != record.trial_id:
        raise DamagedFileError(path, [("config", f"it is the configuration of trial {own}")], way_out)
    return record


def read_studies(run: Path) -> TuningFile:
    """Read the search of a run. Raises: UserError where it is missing or cannot be used."""
    path = run / STUDIES_FILE
    try:
        found = read_model(path, TuningFile, _REWRITE)
    except FileNotFoundError:
        raise UserError(f"{path}: missing. {_REWRITE}.") from None
    _check_ids(path, [trial.trial_id for row in found.rows for trial in row.trials if trial.trial_id is not None])
    return found


def _check_ids(path: Path, ids: Iterable[str]) -> None:
    """Check that these are ids: each becomes the name of a folder. Raises: UserError."""
    for text in ids:
        if not is_id(text):
            raise DamagedFileError(path, [("", f"{text[:40]!r} is no id of 12 hex digits")], _REWRITE)
