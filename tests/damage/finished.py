"""A finished run with a search, made without training, and what its report shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.store import Store, TrialStatus
from harness.store.load import LoadedRun, load
from harness.store.plan_file import PlannedRow
from tests.reports.factory import save, window_run
from tests.tune.simulated import SimulatedLauncher, SimulatedResult, plan_of, search


def finished_run(folder: Path) -> Path:
    """Makes a run of 20 trials and, in the same folder, the search of another sweep."""
    run = save(window_run(), folder / "run")
    plan = plan_of(folder)
    search(plan, run, SimulatedLauncher(lambda config: SimulatedResult(correct=int(1e5 * _rate(config)) % 1000)))
    store = Store(run)
    store.write_plan(store.plan().model_copy(update={"tuned": True}))
    for trial in (*store.trials(), *Store(run / "tuning").trials()):
        record = trial.record()
        if record is not None:
            record = record.model_copy(update={"code": "0123456789ab"})
            trial.write_record(record)
            trial.write_status(TrialStatus("done", code=record.code or "", record_stamp=trial.record_stamp()))
    return run


def _rate(config: dict[str, Any]) -> float:
    return float(config["train"]["learning_rate"])


def shown(run: LoadedRun) -> dict[str, Any]:
    """Returns every number of a report: rows and search as a whole, and trials by id."""
    return {
        "rows": run.plan.model_dump(exclude={"schema_version"}),
        "search": None if run.tuning is None else run.tuning.model_dump(exclude={"schema_version"}),
        **{trial_id: record.model_dump(exclude={"schema_version"}) for trial_id, record in run.records.items()},
    }


def differences(before: dict[str, Any], folder: Path) -> tuple[set[str], set[str]]:
    """Returns what a report shows otherwise now, and which trials it shows as invalid."""
    run = load(folder)
    now = shown(run)
    invalid = {trial_id for trial_id, (status, _) in run.statuses.items() if status == "invalid"}
    return {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)}, invalid


def rows_of(run: Path) -> list[PlannedRow]:
    """Returns the rows of a run."""
    return Store(run).plan().rows
