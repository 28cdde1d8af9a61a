"""The choice of a search: constraints, fronts, the label that counts, the plan made from what was chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from harness.errors import UserError
from harness.stats.pareto import pareto_front
from harness.sweep.tune.plan import tuned_plan
from harness.tune.choice import chosen, picks
from tests.tune.simulated import (
    SWEEP,
    SimulatedLauncher,
    SimulatedResult,
    learning_rate,
    peak,
    plan_of,
    proposals,
    search,
)


@pytest.mark.parametrize("bound", [1.0, 3.0])
def test_the_choice_satisfies_the_constraints(tmp_path: Path, bound: float) -> None:
    plan = plan_of(tmp_path, SWEEP, f"tune.constraints={{latency_ms: {bound}}}", "tune.num_trials=12")
    controller = search(plan, tmp_path, SimulatedLauncher(lambda config: SimulatedResult(
        round(1e5 * learning_rate(config)), latency_ms=1e3 * learning_rate(config))))  # fmt: skip
    for study in controller.studies:
        (best,) = chosen(study, controller.config)
        values = [trial.params["train.learning_rate"] for trial in study.trials()]
        assert max(values) > bound / 1e3  # a more accurate trial exists
        assert best.params["train.learning_rate"] == max(value for value in values if 1e3 * value <= bound)
        assert best.number == study.optuna.best_trial.number


def test_constraints_that_no_trial_satisfies_are_an_error_with_the_excess(tmp_path: Path) -> None:
    controller = search(
        plan_of(tmp_path, SWEEP, "tune.constraints={latency_ms: 0.01}"), tmp_path, SimulatedLauncher(peak)
    )
    with pytest.raises(
        UserError, match=r"row whole: no configuration satisfies them \(the closest one exceeds latency_ms by"
    ):
        picks(controller.studies, controller.config)


def test_the_front_of_two_objectives_equals_pareto_front_and_optunas_front(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SWEEP, "tune.objective=[val_top1, macs_per_view]", "tune.num_trials=25")
    controller = search(plan, tmp_path, SimulatedLauncher(peak))
    for study in controller.studies:
        trials = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
        front = pareto_front([trial.values[1] for trial in trials], [trial.values[0] for trial in trials])
        assert 1 < len(front) < len(trials)
        numbers = {trial.number for trial in chosen(study, controller.config)}
        assert numbers == {trials[index].number for index in front}
        assert numbers == {trial.number for trial in study.optuna.best_trials}
    assert plan.tuning is not None
    rows = tuned_plan(plan, plan.tuning, picks(controller.studies, controller.config)).rows
    assert len({row.label for row in rows}) == len(rows) > 2


def test_what_was_chosen_becomes_the_plan_with_the_sweeps_seeds(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    controller = search(plan, tmp_path, SimulatedLauncher(peak))
    assert plan.tuning is not None
    tuned = tuned_plan(plan, plan.tuning, picks(controller.studies, controller.config))
    assert [row.label for row in tuned.rows] == ["whole", "mixing"]
    assert tuned.baseline_row == tuned.rows[0].row_id
    assert [trial.seed for trial in tuned.trials] == [0, 1, 0, 1]
    tried = {trial.user_attrs.get("trial_id") for study in controller.studies for trial in study.trials()}
    assert not tried & {trial.trial_id for trial in tuned.trials}  # none of the trials that the search selected
    best = max(proposals(controller)[1], key=lambda params: peak({
        "train": {"learning_rate": params["train.learning_rate"]},
        "variant": {"temporal_window": params["variant.temporal_window"]}}).correct)  # fmt: skip
    assert {name: tuned.rows[1].values[name] for name in best} == best


@pytest.mark.parametrize("wanted", [("action", "action"), (None, "action"), ("verb", "verb")])
def test_the_label_that_counts(wanted: tuple[str | None, str]) -> None:
    from harness.tune.objective import label_of

    assert label_of({"verb": 1, "noun": 2, "action": 3}, wanted[0]) == wanted[1]


def test_an_ambiguous_or_unknown_label_is_an_error() -> None:
    from harness.tune.objective import label_of

    check: Callable[..., str] = label_of
    with pytest.raises(UserError, match=r"tune\.label: missing; the data has the labels noun, verb"):
        check({"verb": 1, "noun": 2}, None)
    with pytest.raises(UserError, match=r"tune\.label: 'adverb' given"):
        check({"verb": 1}, "adverb")
