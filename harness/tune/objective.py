"""Reads objectives and constraints from a record: validation accuracy and costs, never the test split."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import UserError
from harness.record import Record
from harness.sweep.tune.config import TuneConfig

MIB = 2**20


def label_of(labels: Mapping[str, object], wanted: str | None) -> str:
    """Returns the label whose accuracy counts: `wanted`, else `action`, else the only label.

    Raises:
        UserError: the data has no label `wanted`; or `wanted` is None and the data has several labels.
    """
    chosen = wanted or ("action" if "action" in labels else next(iter(labels)) if len(labels) == 1 else None)
    if chosen not in labels:
        what = f"tune.label: {wanted!r} given" if wanted else "tune.label: missing"
        raise UserError(f"{what}; the data has the labels {', '.join(sorted(labels))}. Name one of them.")
    return str(chosen)


def costs_of(record: Record) -> dict[str, float]:
    """Returns the costs of a record, named as in `tune.constraints` (ms, MiB, counts)."""
    costs, memory, timings = record.costs, record.costs.memory, record.costs.timings
    found = {"macs_per_view": float(costs.macs.macs_per_view), "num_parameters": float(costs.num_parameters)}
    if memory is not None:
        found["inference_peak_mib"] = memory.inference_peak_bytes / MIB
        found["train_step_peak_mib"] = memory.train_step_peak_bytes / MIB
    if timings is not None:
        found |= {"latency_ms": timings.latency.median_ms, "train_step_ms": timings.train_step.median_ms}
    return found


def values_of(record: Record, config: TuneConfig) -> list[float]:
    """Returns the objectives in the order of the file: accuracy as a fraction, costs in the unit of their name.

    Raises:
        UserError: the label whose accuracy counts is ambiguous or missing.
    """
    scores = record.scores["val"]
    known = {**costs_of(record), "val_top1": scores[label_of(scores, config.label)].top1}
    return [known[name] for name in config.objectives]


def excess_of(record: Record, config: TuneConfig) -> dict[str, float]:
    """Returns cost -> amount above its bound, for each constraint; at most 0 if the constraint is satisfied."""
    costs = costs_of(record)
    return {name: costs[name] - bound for name, bound in config.constraints.bounds().items()}
