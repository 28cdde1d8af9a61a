"""Converts results of a search to a plan: the trials of the search, and rows for the chosen configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from harness.fields import path_of
from harness.store.plan_file import PlannedRow
from harness.sweep import identity
from harness.sweep.plan import Plan, PlannedTrial
from harness.sweep.resolve import Row
from harness.sweep.rows import values_of
from harness.sweep.tune.space import Tuning, Value


class Pick(NamedTuple):
    """A chosen configuration: its row, the values of searched fields, its number among the row's proposals."""

    row_id: str
    values: Mapping[str, Value]
    number: int


def planned_trial(row: Row, seed: int, label: str) -> PlannedTrial:
    """Returns the trial of a row with a seed."""
    config: dict[str, Any] = {**row.blocks, "seed": seed}
    trial_id = identity.trial_id(row.text, row.data_identity, seed)
    return PlannedTrial(trial_id, row.row_id, seed, config, label, row.data_identity)


def tuned_plan(plan: Plan, tuning: Tuning, picks: Sequence[Pick]) -> Plan:
    """Returns the plan of the chosen configurations with the sweep's seeds; they replace the rows of `plan`.

    The baseline is the first configuration chosen for the baseline's row.
    """
    names = [item.name for space in tuning.spaces.values() for item in space.parameters]
    axes = [*dict.fromkeys([*plan.axes, *names])]
    rows, trials, chosen_for = dict[str, PlannedRow](), list[PlannedTrial](), dict[str, str]()
    for pick in picks:
        row = tuning.resolve(pick.row_id, pick.values)
        if isinstance(row, str) or row.row_id in rows:
            continue
        made = [planned_trial(row, seed, _label(plan, picks, pick)) for seed in _seeds(plan, pick.row_id)]
        values = values_of(row, [path_of(axis) for axis in axes])
        ids = {str(trial.seed): trial.trial_id for trial in made}
        rows[row.row_id] = PlannedRow(row_id=row.row_id, label=made[0].label, values=values, trials=ids)
        chosen_for.setdefault(pick.row_id, row.row_id)
        trials += made
    baseline = chosen_for.get(plan.baseline_row) if plan.baseline_row else None
    return replace(plan, axes=axes, rows=list(rows.values()), trials=trials, baseline_row=baseline)


def _label(plan: Plan, picks: Sequence[Pick], pick: Pick) -> str:
    """Returns the label of the row, with the number of the proposal if several were chosen for the row."""
    label = next(row.label for row in plan.rows if row.row_id == pick.row_id)
    alone = sum(other.row_id == pick.row_id for other in picks) == 1
    return label if alone else f"{label} #{pick.number}"


def _seeds(plan: Plan, row_id: str) -> list[int]:
    return [trial.seed for trial in plan.trials if trial.row_id == row_id]
