"""One line per trial, with all numbers and the whole configuration: `trials.csv`, and `frame(run)` for notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import quantities
from harness.fields import flat_fields
from harness.quantities import accuracy
from harness.store.load import LoadedRun
from harness.store.marks import trial_marks, unmarked
from harness.text.escapes import csv_cell

if TYPE_CHECKING:
    import pandas as pd


def frame(run: LoadedRun) -> pd.DataFrame:
    """Return a line for each planned trial; accuracies are fractions, times in ms, memory in bytes, or NaN."""
    import pandas as pd

    lines = [
        _line(run, row.label, int(seed), trial_id) for row in run.plan.rows for seed, trial_id in row.trials.items()
    ]
    return pd.DataFrame(lines)


def write(run: LoadedRun, folder: Path) -> list[Path]:
    """Write `trials.csv` and return its path."""
    path = folder / "trials.csv"
    table = frame(run)
    table.rename(columns=csv_cell).map(csv_cell).to_csv(path, index=False)
    return [path]


def _line(run: LoadedRun, label: str, seed: int, trial_id: str) -> dict[str, Any]:
    line: dict[str, Any] = {"trial_id": trial_id, "row": label, "seed": seed}
    record = run.records.get(trial_id)
    missing = run.missing(trial_id)
    line["status"] = missing[0] if missing else "done"
    if record is None:
        return line
    found = [accuracy(label, split) for split, scores in record.scores.items() for label in scores]
    for quantity in [*found, *quantities.QUANTITIES]:
        value = line[quantity.key] = quantity.read(record)
        if quantity.marks is not unmarked:
            line[f"{quantity.key}_marks"] = "" if value is None else "; ".join(quantity.marks(record))
    line |= {"macs_status": record.costs.macs.status, "marks": "; ".join(trial_marks(record))}
    return line | flat_fields(record.config)
