"""The search itself, with trials that take no time: budget, repeatability, restarts, failures, choice."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from harness.errors import UserError
from harness.launch.source import drive
from harness.stats.pareto import pareto_front
from harness.sweep.tune.plan import tuned_plan
from harness.tune import controller as controller_module
from harness.tune.choice import chosen, picks
from harness.tune.study import MAX_STARTS
from tests.tune.simulated import (
    SWEEP,
    Outcome,
    Simulated,
    controller_of,
    learning_rate,
    plan_of,
    proposals,
    search,
)


def peak(config: dict[str, Any]) -> Outcome:
    """Best at a learning rate of 1e-3, the more the wider the window; costs rise with both."""
    distance = abs(math.log10(learning_rate(config)) + 3)
    window = config["variant"].get("temporal_window", 1)
    cost = round(1e6 * learning_rate(config)) * (1 + window)
    return Outcome(round(900 - 400 * distance + 30 * window), macs=cost, latency_ms=1e3 * learning_rate(config))


def test_every_row_gets_the_same_budget_and_nothing_runs_twice(tmp_path: Path) -> None:
    launcher = Simulated(peak)
    controller = search(plan_of(tmp_path), tmp_path, launcher)
    assert [study.num_counted for study in controller.studies] == [6, 6]
    assert set(launcher.starts.values()) == {1}
    own = [study.trials()[0].params for study in controller.studies]
    assert own == [{"train.learning_rate": 2e-3}, {"train.learning_rate": 2e-3, "variant.temporal_window": 1}]


def test_the_same_seed_asks_the_same_and_another_seed_does_not(tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        plan = plan_of(tmp_path, SWEEP, f"tune.seed={seed}")
        (tmp_path / name).mkdir()
        found.append(proposals(search(plan, tmp_path / name, Simulated(peak))))
    assert found[0] == found[1]
    assert found[0] != found[2]
    rates = [[params["train.learning_rate"] for params in of_row] for of_row in found[0]]
    assert rates[0] == rates[1]  # rows begin with the same random values of what they share


def test_tpe_finds_what_random_search_does_not(tmp_path: Path) -> None:
    best = {}
    for sampler in ("tpe", "random"):
        plan = plan_of(tmp_path, SWEEP, f"tune.sampler={sampler}", "tune.num_trials=40", "vary=[]", "seeds=1", "baseline=null",
                       "tune.space={train.learning_rate: {low: 1.0e-9, high: 10, log: true}}")  # fmt: skip
        (tmp_path / sampler).mkdir()
        (study,) = search(plan, tmp_path / sampler, Simulated(peak)).studies
        late = [abs(math.log10(trial.params["train.learning_rate"]) + 3) for trial in study.trials()[20:]]
        best[sampler] = sum(late) / len(late)
    assert best["tpe"] < best["random"] / 2


def test_stopped_after_any_trial_the_search_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    (tmp_path / "whole").mkdir()
    whole = proposals(search(plan, tmp_path / "whole", Simulated(peak)))
    run, starts = tmp_path / "parts", Simulated(peak).starts
    run.mkdir()
    for _ in range(12):  # a controller for each trial
        launcher = Simulated(peak, stop_after=1)
        controller = search(plan, run, launcher)
        launcher.poll()  # the trial ends while no controller lives
        starts += launcher.starts
    controller = search(plan, run, Simulated(peak, stop_after=0))
    assert proposals(controller) == whole
    assert set(starts.values()) == {1}


def test_a_journal_cut_anywhere_loses_no_finished_trial_and_ends_in_the_same_search(tmp_path: Path) -> None:
    plan, generator = plan_of(tmp_path), random.Random(0)
    (tmp_path / "whole").mkdir()
    whole = proposals(search(plan, tmp_path / "whole", Simulated(peak)))
    journal = (tmp_path / "whole/optuna.journal").read_bytes()
    for cut in [0, 1, len(journal) - 1, *(generator.randrange(len(journal)) for _ in range(12))]:
        run = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", run)
        (run / "optuna.journal").write_bytes(journal[:cut])
        (run / "optuna.journal.lock").symlink_to("optuna.journal")  # a killed writer leaves its lock too
        launcher = Simulated(peak)
        controller = search(plan, run, launcher)
        assert not launcher.starts, cut
        assert proposals(controller) == whole, cut
        assert [study.num_counted for study in controller.studies] == [6, 6]


def test_a_larger_budget_goes_on_with_what_is_there(tmp_path: Path) -> None:
    first = proposals(search(plan_of(tmp_path), tmp_path, Simulated(peak)))
    launcher = Simulated(peak)
    more = proposals(search(plan_of(tmp_path, SWEEP, "tune.num_trials=8"), tmp_path, launcher))
    assert [of_row[:6] for of_row in more] == first
    assert sum(launcher.starts.values()) == 4


def test_another_question_is_another_study(tmp_path: Path) -> None:
    search(plan_of(tmp_path), tmp_path, Simulated(peak))
    plan = plan_of(tmp_path, SWEEP, "tune.constraints={macs_per_view: 100}")
    controller = controller_of(plan, tmp_path)
    assert [study.num_counted for study in controller.studies] == [0, 0]


def test_a_lost_worker_is_told_fail_and_its_parameters_are_asked_again(tmp_path: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    whole = proposals(search(plan_of(tmp_path), undisturbed, Simulated(peak)))
    victims = {}

    def killed_once(config: dict[str, Any]) -> Outcome:
        key = (config["variant"]["name"], round(learning_rate(config), 9))
        victims[key] = victims.get(key, 0) + 1  # asked at the start and at the end
        return Outcome(status="killed") if victims[key] <= 2 and len(victims) in (3, 4, 8) else peak(config)

    launcher = Simulated(killed_once)
    controller = search(plan_of(tmp_path), tmp_path, launcher)
    failed = [trial for study in controller.studies for trial in study.trials() if trial.state == TrialState.FAIL]
    assert len(failed) == 3
    assert sorted(launcher.starts.values()) == [1] * 9 + [2] * 3
    assert [study.num_counted for study in controller.studies] == [6, 6]
    assert proposals(controller) == whole  # asked again at once, so the search goes on as without the kills


def test_a_configuration_that_kills_its_worker_each_time_is_given_up(tmp_path: Path) -> None:
    launcher = Simulated(lambda config: Outcome(status="killed") if learning_rate(config) == 2e-3 else peak(config))
    controller = search(plan_of(tmp_path), tmp_path, launcher)
    assert sorted(launcher.starts.values())[-2:] == [MAX_STARTS, MAX_STARTS]
    assert [study.num_counted for study in controller.studies] == [6, 6]
    assert "lost 3 times" in controller.studies[0].failures()[0].user_attrs["message"]


def test_failures_do_not_count_and_are_limited(tmp_path: Path) -> None:
    launcher = Simulated(lambda config: Outcome(status="nan") if learning_rate(config) > 4e-3 else peak(config))
    controller = search(plan_of(tmp_path), tmp_path, launcher)
    assert controller.studies[0].failures()
    assert [study.num_counted for study in controller.studies] == [6, 6]
    (tmp_path / "all").mkdir()
    broken = search(plan_of(tmp_path), tmp_path / "all", Simulated(lambda config: Outcome(status="oom")))
    assert "7 trials failed (tune.max_failures); the last one: oom: as simulated" in str(broken.fault)


REFUSING = SWEEP.replace("space:", "space:\n    model.embed_dim: {low: 15, high: 18}")


def test_what_cannot_be_built_is_refused_with_the_reason_and_not_counted(tmp_path: Path) -> None:
    launcher = Simulated(peak)
    controller = search(plan_of(tmp_path, REFUSING), tmp_path, launcher)
    told = [trial for study in controller.studies for trial in study.trials()]
    refused = [trial for trial in told if trial.user_attrs.get("ended") == "refused"]
    assert refused
    assert all(trial.params["model.embed_dim"] in (15, 17) for trial in refused)
    assert "heads do not divide embed_dim" in refused[0].user_attrs["message"]
    assert len(launcher.starts) == 12
    assert [study.num_counted for study in controller.studies] == [6, 6]


def test_a_space_in_which_nothing_can_be_built_is_an_error_with_the_reason(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, REFUSING.replace("low: 15, high: 18", "low: 17, high: 29, step: 2"))
    with pytest.raises(UserError, match=r"200 proposals in a row cannot be built.*heads do not divide"):
        raise search(plan, tmp_path, Simulated(peak)).fault or AssertionError


@pytest.mark.parametrize("parallel", ["1", "null"])
def test_a_known_or_running_configuration_is_not_run_again(tmp_path: Path, parallel: str) -> None:
    text = SWEEP.replace(
        "{low: 1.0e-4, high: 1.0e-2, log: true}", "{choices: [0.001, 0.002, 0.003, 0.004, 0.005, 0.006]}"
    )
    launcher = Simulated(peak)
    plan = plan_of(tmp_path, text, "tune.sampler=random", f"tune.parallel={parallel}")
    controller = search(plan, tmp_path, launcher)
    assert [study.num_counted for study in controller.studies] == [6, 6]
    assert sum(launcher.starts.values()) < 12
    assert set(launcher.starts.values()) == {1}


@pytest.mark.parametrize("bound", [1.0, 3.0])
def test_the_choice_keeps_the_constraints(tmp_path: Path, bound: float) -> None:
    plan = plan_of(tmp_path, SWEEP, f"tune.constraints={{latency_ms: {bound}}}", "tune.num_trials=12")
    controller = search(plan, tmp_path, Simulated(lambda config: Outcome(
        round(1e5 * learning_rate(config)), latency_ms=1e3 * learning_rate(config))))  # fmt: skip
    for study in controller.studies:
        (best,) = chosen(study, controller.config)
        values = [trial.params["train.learning_rate"] for trial in study.trials()]
        assert max(values) > bound / 1e3  # more accurate ones were known
        assert best.params["train.learning_rate"] == max(value for value in values if 1e3 * value <= bound)
        assert best.number == study.optuna.best_trial.number


def test_constraints_that_nothing_keeps_are_an_error_that_says_by_how_much(tmp_path: Path) -> None:
    controller = search(plan_of(tmp_path, SWEEP, "tune.constraints={latency_ms: 0.01}"), tmp_path, Simulated(peak))
    with pytest.raises(UserError, match=r"row whole: no configuration keeps them \(the nearest exceeds latency_ms by"):
        picks(controller.studies, controller.config)


def test_the_front_of_two_objectives_is_ours_and_optunas(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SWEEP, "tune.objective=[val_top1, macs_per_view]", "tune.num_trials=25")
    controller = search(plan, tmp_path, Simulated(peak))
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
    controller = search(plan, tmp_path, Simulated(peak))
    assert plan.tuning is not None
    tuned = tuned_plan(plan, plan.tuning, picks(controller.studies, controller.config))
    assert [row.label for row in tuned.rows] == ["whole", "mixing"]
    assert tuned.baseline_row == tuned.rows[0].row_id
    assert [trial.seed for trial in tuned.trials] == [0, 1, 0, 1]
    tried = {trial.user_attrs.get("trial_id") for study in controller.studies for trial in study.trials()}
    assert not tried & {trial.trial_id for trial in tuned.trials}  # no trial that was chosen for its luck
    best = max(proposals(controller)[1], key=lambda params: peak({
        "train": {"learning_rate": params["train.learning_rate"]},
        "variant": {"temporal_window": params["variant.temporal_window"]}}).correct)  # fmt: skip
    assert {name: tuned.rows[1].values[name] for name in best} == best


PRUNING = ("tune.pruner=median", "tune.num_unpruned_trials=2", "tune.report_every_steps=10")


def reporting(config: dict[str, Any]) -> Outcome:
    outcome = peak(config)
    return Outcome(outcome.correct, reports=[outcome.correct // 2, outcome.correct - 10])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated trials take no time: the controller must not wait between two looks."""
    monkeypatch.setattr(controller_module, "REPORTS_EVERY_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
def test_the_median_pruner_stops_what_is_worse_than_half(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SWEEP, *PRUNING, "tune.num_trials=10")
    controller = search(plan, tmp_path, Simulated(reporting))
    for study in controller.studies:
        pruned = [trial for trial in study.trials() if trial.state == TrialState.PRUNED]
        kept = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
        assert pruned
        assert min(trial.intermediate_values[10] for trial in pruned) < min(
            trial.intermediate_values[10] for trial in kept[2:]
        )
        assert study.num_counted == 10
        assert chosen(study, controller.config)[0].state == TrialState.COMPLETE


def test_optuna_opens_the_journal(tmp_path: Path) -> None:
    controller = search(plan_of(tmp_path), tmp_path, Simulated(peak))
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "optuna.journal")))
    for study in controller.studies:
        loaded = optuna.load_study(study_name=study.name, storage=storage)
        assert [trial.params for trial in loaded.trials] == [trial.params for trial in study.trials()]
        assert loaded.best_trial.number == chosen(study, controller.config)[0].number


def test_a_poisoned_test_split_is_never_read(tmp_path: Path) -> None:
    """Each simulated record holds a score on test of 0 of 0, which cannot be turned into an accuracy."""
    controller = controller_of(plan_of(tmp_path), tmp_path)
    launcher = Simulated(peak)
    assert drive(controller, launcher, poll_s=0)
    config = next((tmp_path / "tuning/trials").glob("*/config.yaml")).read_text()
    assert "splits:\n  - val\n" in config  # real workers do not even evaluate it


@pytest.mark.parametrize("wanted", [("action", "action"), (None, "action"), ("verb", "verb")])
def test_the_label_that_counts(wanted: tuple[str | None, str]) -> None:
    from harness.tune.objective import label_of

    assert label_of({"verb": 1, "noun": 2, "action": 3}, wanted[0]) == wanted[1]


def test_a_label_that_cannot_be_told_is_an_error() -> None:
    from harness.tune.objective import label_of

    check: Callable[..., str] = label_of
    with pytest.raises(UserError, match=r"tune\.label: missing; the data has the labels noun, verb"):
        check({"verb": 1, "noun": 2}, None)
    with pytest.raises(UserError, match=r"tune\.label: 'adverb' given"):
        check({"verb": 1}, "adverb")


@pytest.mark.usefixtures("impatient")
def test_what_another_study_gave_up_is_trained_to_its_end(tmp_path: Path) -> None:
    text = SWEEP.replace(
        "{low: 1.0e-4, high: 1.0e-2, log: true}", "{choices: [0.001, 0.002, 0.004, 0.005, 0.006, 0.01]}"
    )
    search(plan_of(tmp_path, text, *PRUNING, "tune.sampler=random"), tmp_path, Simulated(reporting))
    pruned = {path.parent.name for path in (tmp_path / "tuning/trials").glob("*/.prune")}
    assert pruned
    launcher = Simulated(peak)
    controller = search(plan_of(tmp_path, text, "tune.sampler=random", "tune.seed=5"), tmp_path, launcher)
    assert pruned & set(launcher.starts)
    assert all(trial.state == TrialState.COMPLETE for study in controller.studies for trial in study.trials())


def test_the_summary_is_written_now_and_then_and_never_misses_the_last_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, written = plan_of(tmp_path), []
    monkeypatch.setattr(controller_module.summary, "write", lambda *args: written.append(0))
    controller = search(plan, tmp_path, Simulated(peak))
    assert len(written) < 12, "twelve trials, each asked for and told"
    monkeypatch.setattr(controller_module, "SUMMARY_EVERY_SECONDS", 0.0)
    controller._next_summary, before = 0.0, len(written)
    controller.tick()
    controller.tick()
    assert len(written) == before + 1, "what changed is written when it is time, once"
