"""Selects a part of a plan by conditions, as `--only` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.errors import UserError, did_you_mean
from harness.fields import ABSENT, get_field, has_value
from harness.store import Store
from harness.store.plan_file import PlanFile
from harness.sweep.plan import Plan, PlannedTrial
from harness.sweep.reading.faults import FaultList
from harness.sweep.reading.yaml import compose_text


def select(plan: Plan, conditions: Sequence[str]) -> list[PlannedTrial]:
    """Returns the trials for which all conditions hold.

    A condition is `FIELD=VALUE` for any field, `seed=N`, a row's label, or the beginning of a trial id.

    Raises:
        UserError: no trial satisfies a condition; the message lists what the plan has.
    """
    labels = [row.label for row in plan.rows]
    return _narrowed(plan.trials, conditions, lambda trial: None, plan.name, plan.axes, labels)


def select_planned(plan: PlanFile, conditions: Sequence[str]) -> list[str]:
    """Returns the ids of the trials of a stored plan for which all conditions hold; needs no sweep file.

    Raises:
        UserError: no trial satisfies a condition; the message lists what the plan has.
    """
    rows = [(row, seed, trial) for row in plan.rows for seed, trial in row.trials.items()]
    planned = [PlannedTrial(trial, row.row_id, int(seed), {}, row.label, "") for row, seed, trial in rows]
    values = {row.row_id: row.values for row in plan.rows}
    labels = [row.label for row in plan.rows]
    kept = _narrowed(planned, conditions, lambda trial: values[trial.row_id], plan.sweep, plan.axes, labels)
    return [trial.trial_id for trial in kept]


def select_parts(parts: Sequence[Store], conditions: Sequence[str]) -> list[list[str]]:
    """Returns, for each store, the ids of its planned trials for which all conditions hold.

    Raises:
        UserError: no trial of any store satisfies them; the message lists the fields and labels that exist.
    """
    found: list[list[str]] = []
    refused: list[UserError] = []
    for store in parts:
        plan = store.plan()
        try:
            found.append(select_planned(plan, conditions))
        except UserError as error:
            refused += [error] if plan.rows else []  # a search that has not ended has an empty plan
            found.append([])
    if refused and not any(found):
        raise refused[0]
    return found


def _narrowed(
    trials: Sequence[PlannedTrial],
    conditions: Sequence[str],
    values_of: Callable[[PlannedTrial], Mapping[str, Any] | None],
    name: str,
    axes: Sequence[str],
    labels: Sequence[str],
) -> list[PlannedTrial]:
    """Applies the conditions one after another; `values_of` returns the `values` argument of `_holds`."""
    chosen = list(trials)
    for condition in conditions:
        kept = [trial for trial in chosen if _holds(trial, condition, values_of(trial))]
        if not kept:
            raise UserError(
                f"{condition}: no trial of {name} fits. Use FIELD=VALUE (varied here: {', '.join(axes)}, "
                f"seed), the beginning of a trial id, or a label: {'; '.join(labels)}.{did_you_mean(condition, labels)}"
            )
        chosen = kept
    return chosen


def _holds(trial: PlannedTrial, condition: str, values: Mapping[str, Any] | None) -> bool:
    """Returns True if a condition holds; field values come from `values` (dotted), else from the configuration."""
    if not condition.strip():  # an unset shell variable must not select every trial
        raise UserError("an empty condition was given (--only ''). Leave it out to choose all trials.")
    if condition == trial.label or trial.trial_id.startswith(condition):
        return True
    field, equals, text = condition.partition("=")
    if not equals:
        return False
    node = compose_text(text.strip(), "--only", FaultList())
    wanted = node.plain() if node else text
    name = field.strip()
    config = get_field(trial.config, name) if values is None else values.get(name, ABSENT)
    found = trial.seed if name == "seed" else config
    if isinstance(found, dict):
        found = found.get("name")
    return found is not ABSENT and (has_value(found, wanted) or str(found) == text.strip())
