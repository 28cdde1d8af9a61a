"""The records of the trials of a search."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from harness.errors import UserError
from harness.record import Record
from harness.store.load import read_record
from harness.store.plan_file import TuningFile


def read_search_records(run: Path, tuning: TuningFile | None) -> dict[str, Record]:
    """Return the records of a search by trial; those that cannot be read are left out, since no number needs them."""
    rows, found = tuning.rows if tuning else [], {}
    for trial_id in {trial.trial_id for row in rows for trial in row.trials if trial.trial_id}:
        with suppress(UserError):
            found[trial_id] = read_record(run / "tuning" / "trials" / trial_id)
    return {trial_id: record for trial_id, record in found.items() if record is not None}
