"""Reads objectives and constraints from a record: validation accuracy and costs, never the test split."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import UserError
from harness.quantities import search_quantity
from harness.record import Record
from harness.sweep.tune.config import TuneConfig


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


def values_of(record: Record, config: TuneConfig) -> list[float]:
    """Returns the objectives in the order of the file: accuracy as a fraction, costs in the unit of their name.

    Raises:
        UserError: the label whose accuracy counts is ambiguous or missing, or an objective was not measured.
    """
    label = label_of(record.scores["val"], config.label)
    return [_value(record, name, "objective", label) for name in config.objectives]


def excess_of(record: Record, config: TuneConfig) -> dict[str, float]:
    """Returns cost -> amount above its bound, for each constraint; at most 0 if the constraint is satisfied."""
    bounds = config.constraints.bounds()
    return {name: _value(record, name, "constraints") - bound for name, bound in bounds.items()}


def _value(record: Record, name: str, where: str, label: str = "") -> float:
    quantity = search_quantity(name, label)
    value = quantity.search_value(record)
    if value is None:
        message = f"{name} was not measured in trial {record.trial_id} ({quantity.name}). Choose another quantity."
        raise UserError(f"tune.{where}: {message}")
    return value
