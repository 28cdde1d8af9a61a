"""One line per trial, all numbers and the whole configuration: `trials.csv`, and `frame(run)` for notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.load import Run

from .common.quantities import dirty_faults

if TYPE_CHECKING:
    import pandas as pd


def frame(run: Run) -> pd.DataFrame:
    """A row per planned trial; accuracies are fractions, times in ms, memory in bytes, NaN where there is none."""
    import pandas as pd

    lines = [
        _line(run, row.label, int(seed), trial_id) for row in run.plan.rows for seed, trial_id in row.trials.items()
    ]
    return pd.DataFrame(lines)


def write(run: Run, folder: Path) -> list[Path]:
    """Writes `trials.csv`."""
    path = folder / "trials.csv"
    frame(run).to_csv(path, index=False)
    return [path]


def _line(run: Run, label: str, seed: int, trial_id: str) -> dict[str, Any]:
    line: dict[str, Any] = {"trial_id": trial_id, "row": label, "seed": seed}
    record = run.records.get(trial_id)
    missing = run.missing(trial_id)
    line["status"] = missing[0] if missing else "done"
    if record is None:
        return line
    for split, scores in record.scores.items():
        line |= {f"{split}_{name}_top1": score.top1 for name, score in scores.items()}
    costs = record.costs
    line["unproven"] = record.unproven
    line |= {"num_parameters": costs.num_parameters, "macs_per_view": costs.macs.macs_per_view}
    line |= {"macs_status": costs.macs.status, "final_loss": record.training.final_loss}
    if costs.memory:
        line["train_step_peak_bytes"] = costs.memory.train_step_peak_bytes
        line["inference_peak_bytes"] = costs.memory.inference_peak_bytes
    if costs.timings:
        line |= {
            f"{name}_{end}": getattr(getattr(costs.timings, name), field)
            for name in ("latency", "inference", "train_step")
            for end, field in (("ms", "median_ms"), ("unstable", "unstable"))
        }
        line["timing_reference_ms"] = costs.timings.reference_ms
        line["timing_dirty"] = "; ".join(dirty_faults(record))
    return line | _flat(record.config)


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration -> dotted fields."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
