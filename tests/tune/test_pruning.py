"""Pruning in a search: which trials are stopped early, and for which study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from harness.tune import controller as controller_module
from harness.tune.choice import chosen
from tests.tune.simulated import (
    SWEEP,
    SimulatedLauncher,
    SimulatedResult,
    peak,
    plan_of,
    search,
)

PRUNING = ("tune.pruner=median", "tune.num_unpruned_trials=2", "tune.report_every_steps=10")


def reporting(config: dict[str, Any]) -> SimulatedResult:
    outcome = peak(config)
    return SimulatedResult(outcome.correct, reports=[outcome.correct // 2, outcome.correct - 10])


@pytest.fixture
def no_read_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the interval between reads of reports, since simulated trials take no time."""
    monkeypatch.setattr(controller_module, "REPORTS_EVERY_SECONDS", 0.0)


@pytest.mark.usefixtures("no_read_interval")
def test_the_median_pruner_stops_trials_below_the_median(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SWEEP, *PRUNING, "tune.num_trials=10")
    controller = search(plan, tmp_path, SimulatedLauncher(reporting))
    for study in controller.studies:
        pruned = [trial for trial in study.trials() if trial.state == TrialState.PRUNED]
        kept = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
        assert pruned
        assert min(trial.intermediate_values[10] for trial in pruned) < min(
            trial.intermediate_values[10] for trial in kept[2:]
        )
        assert study.num_counted == 10
        assert chosen(study, controller.config)[0].state == TrialState.COMPLETE


@pytest.mark.usefixtures("no_read_interval")
def test_a_trial_that_another_study_pruned_is_trained_to_its_end(tmp_path: Path) -> None:
    text = SWEEP.replace(
        "{low: 1.0e-4, high: 1.0e-2, log: true}", "{choices: [0.001, 0.002, 0.004, 0.005, 0.006, 0.01]}"
    )
    search(plan_of(tmp_path, text, *PRUNING, "tune.sampler=random"), tmp_path, SimulatedLauncher(reporting))
    pruned = {path.parent.name for path in (tmp_path / "tuning/trials").glob("*/.prune")}
    assert pruned
    launcher = SimulatedLauncher(peak)
    controller = search(plan_of(tmp_path, text, "tune.sampler=random", "tune.seed=5"), tmp_path, launcher)
    assert pruned & set(launcher.starts)
    assert all(trial.state == TrialState.COMPLETE for study in controller.studies for trial in study.trials())
