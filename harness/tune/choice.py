"""Chooses the best configuration of a search, or the Pareto front, among those that satisfy the constraints."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from harness.errors import UserError
from harness.quantities import search_quantity
from harness.sweep.tune.config import TuneConfig
from harness.sweep.tune.plan import Pick
from harness.tune.study import Study


def chosen(study: Study, config: TuneConfig) -> list[FrozenTrial]:
    """Returns the best trial of a study (the first of equals) or, for several objectives, the Pareto front.

    Considers only completed trials that satisfy every constraint. Each configuration appears once.
    """
    eligible = {
        trial.user_attrs["trial_id"]: trial
        for trial in reversed(study.trials())
        if trial.state == TrialState.COMPLETE and all(excess <= 0 for excess in trial.constraints.values())
    }
    trials = sorted(eligible.values(), key=lambda trial: trial.number)
    costs = [_costs(trial, config) for trial in trials]
    if len(config.objectives) == 1:
        return [trials[costs.index(min(costs))]] if trials else []
    front = [trial for trial, cost in zip(trials, costs, strict=True) if not any(_dominates(o, cost) for o in costs)]
    return sorted(front, key=lambda trial: _costs(trial, config))


def picks(studies: Sequence[Study], config: TuneConfig) -> list[Pick]:
    """Returns the chosen configurations of all rows, in the order of the rows.

    Raises:
        UserError: no configuration of any row satisfies the constraints.
    """
    found = [Pick(study.row_id, trial.params, trial.number) for study in studies for trial in chosen(study, config)]
    missing = [study for study in studies if study.row_id not in {pick.row_id for pick in found}]
    reasons = [
        f"tune.constraints, row {study.label}: no configuration satisfies them{_nearest(study)}" for study in missing
    ]
    if not found:
        raise UserError("\n".join([*reasons, "Widen them or tune.space, then run the sweep again."]))
    for reason in reasons:
        print(f"{reason}; the table omits this row", flush=True)
    return found


def _costs(trial: FrozenTrial, config: TuneConfig) -> list[float]:
    """Returns the objectives with signs such that lower is better."""
    signs = [-1 if search_quantity(name).direction == "higher" else 1 for name in config.objectives]
    return [sign * value for sign, value in zip(signs, trial.values, strict=True)]


def _dominates(one: list[float], other: list[float]) -> bool:
    return one != other and all(mine <= theirs for mine, theirs in zip(one, other, strict=True))


def _nearest(study: Study) -> str:
    """Describes the excess of the trial that is closest to the constraints."""
    complete = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
    if not complete:
        return " (no trial completed)"
    nearest = min(complete, key=lambda trial: max(trial.constraints.values()))
    over = [f"{name} by {excess:.4g}" for name, excess in nearest.constraints.items() if excess > 0]
    return f" (the closest one exceeds {', '.join(over)})"
