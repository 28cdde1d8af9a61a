"""The search, with simulated trials: budget, repeatability, restarts, failures, summary."""

from __future__ import annotations

import math
import random
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from harness.errors import UserError
from harness.launch.source import drive
from harness.tune import controller as controller_module
from harness.tune.choice import chosen
from harness.tune.study import MAX_STARTS
from tests.tune.simulated import (
    SWEEP,
    SimulatedLauncher,
    SimulatedResult,
    controller_of,
    learning_rate,
    peak,
    plan_of,
    proposals,
    search,
)


def test_every_row_gets_the_same_budget_and_nothing_runs_twice(tmp_path: Path) -> None:
    launcher = SimulatedLauncher(peak)
    controller = search(plan_of(tmp_path), tmp_path, launcher)
    assert [study.num_counted for study in controller.studies] == [6, 6]
    assert set(launcher.starts.values()) == {1}
    own = [study.trials()[0].params for study in controller.studies]
    assert own == [{"train.learning_rate": 2e-3}, {"train.learning_rate": 2e-3, "variant.temporal_window": 1}]


def test_equal_seeds_give_equal_proposals_and_different_seeds_do_not(tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        plan = plan_of(tmp_path, SWEEP, f"tune.seed={seed}")
        (tmp_path / name).mkdir()
        found.append(proposals(search(plan, tmp_path / name, SimulatedLauncher(peak))))
    assert found[0] == found[1]
    assert found[0] != found[2]
    rates = [[params["train.learning_rate"] for params in of_row] for of_row in found[0]]
    assert rates[0] == rates[1]  # rows start with equal random values for shared parameters


def test_tpe_finds_what_random_search_does_not(tmp_path: Path) -> None:
    best = {}
    for sampler in ("tpe", "random"):
        plan = plan_of(tmp_path, SWEEP, f"tune.sampler={sampler}", "tune.num_trials=40", "vary=[]", "seeds=1", "baseline=null",
                       "tune.space={train.learning_rate: {low: 1.0e-9, high: 10, log: true}}")  # fmt: skip
        (tmp_path / sampler).mkdir()
        (study,) = search(plan, tmp_path / sampler, SimulatedLauncher(peak)).studies
        late = [abs(math.log10(trial.params["train.learning_rate"]) + 3) for trial in study.trials()[20:]]
        best[sampler] = sum(late) / len(late)
    assert best["tpe"] < best["random"] / 2


def test_a_search_stopped_after_any_trial_continues_as_if_uninterrupted(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    (tmp_path / "whole").mkdir()
    whole = proposals(search(plan, tmp_path / "whole", SimulatedLauncher(peak)))
    run, starts = tmp_path / "parts", SimulatedLauncher(peak).starts
    run.mkdir()
    for _ in range(12):  # a controller for each trial
        launcher = SimulatedLauncher(peak, stop_after=1)
        controller = search(plan, run, launcher)
        launcher.poll()  # the trial ends while no controller runs
        starts += launcher.starts
    controller = search(plan, run, SimulatedLauncher(peak, stop_after=0))
    assert proposals(controller) == whole
    assert set(starts.values()) == {1}


def test_a_journal_cut_anywhere_loses_no_finished_trial_and_ends_in_the_same_search(tmp_path: Path) -> None:
    plan, generator = plan_of(tmp_path), random.Random(0)
    (tmp_path / "whole").mkdir()
    whole = proposals(search(plan, tmp_path / "whole", SimulatedLauncher(peak)))
    journal = (tmp_path / "whole/optuna.journal").read_bytes()
    for cut in [0, 1, len(journal) - 1, *(generator.randrange(len(journal)) for _ in range(12))]:
        run = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", run)
        (run / "optuna.journal").write_bytes(journal[:cut])
        (run / "optuna.journal.lock").symlink_to("optuna.journal")  # a killed writer also leaves its lock
        launcher = SimulatedLauncher(peak)
        controller = search(plan, run, launcher)
        assert not launcher.starts, cut
        assert proposals(controller) == whole, cut
        assert [study.num_counted for study in controller.studies] == [6, 6]


def test_a_larger_budget_continues_the_existing_search(tmp_path: Path) -> None:
    first = proposals(search(plan_of(tmp_path), tmp_path, SimulatedLauncher(peak)))
    launcher = SimulatedLauncher(peak)
    more = proposals(search(plan_of(tmp_path, SWEEP, "tune.num_trials=8"), tmp_path, launcher))
    assert [of_row[:6] for of_row in more] == first
    assert sum(launcher.starts.values()) == 4


def test_changed_constraints_start_a_new_study(tmp_path: Path) -> None:
    search(plan_of(tmp_path), tmp_path, SimulatedLauncher(peak))
    plan = plan_of(tmp_path, SWEEP, "tune.constraints={macs_per_view: 100}")
    controller = controller_of(plan, tmp_path)
    assert [study.num_counted for study in controller.studies] == [0, 0]


def test_the_trial_of_a_lost_worker_fails_and_is_proposed_again(tmp_path: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    whole = proposals(search(plan_of(tmp_path), undisturbed, SimulatedLauncher(peak)))
    victims = {}

    def killed_once(config: dict[str, Any]) -> SimulatedResult:
        key = (config["variant"]["name"], round(learning_rate(config), 9))
        victims[key] = victims.get(key, 0) + 1  # called at the start and at the end
        return SimulatedResult(status="killed") if victims[key] <= 2 and len(victims) in (3, 4, 8) else peak(config)

    launcher = SimulatedLauncher(killed_once)
    controller = search(plan_of(tmp_path), tmp_path, launcher)
    failed = [trial for study in controller.studies for trial in study.trials() if trial.state == TrialState.FAIL]
    assert len(failed) == 3
    assert sorted(launcher.starts.values()) == [1] * 9 + [2] * 3
    assert [study.num_counted for study in controller.studies] == [6, 6]
    assert proposals(controller) == whole  # proposed again at once, so the search equals one without kills


def test_a_configuration_that_kills_its_worker_each_time_is_given_up(tmp_path: Path) -> None:
    launcher = SimulatedLauncher(
        lambda config: SimulatedResult(status="killed") if learning_rate(config) == 2e-3 else peak(config)
    )
    controller = search(plan_of(tmp_path), tmp_path, launcher)
    assert sorted(launcher.starts.values())[-2:] == [MAX_STARTS, MAX_STARTS]
    assert [study.num_counted for study in controller.studies] == [6, 6]
    assert "lost 3 times" in controller.studies[0].failures()[0].user_attrs["message"]


def test_failures_do_not_count_and_are_limited(tmp_path: Path) -> None:
    launcher = SimulatedLauncher(
        lambda config: SimulatedResult(status="nan") if learning_rate(config) > 4e-3 else peak(config)
    )
    controller = search(plan_of(tmp_path), tmp_path, launcher)
    assert controller.studies[0].failures()
    assert [study.num_counted for study in controller.studies] == [6, 6]
    (tmp_path / "all").mkdir()
    broken = search(
        plan_of(tmp_path), tmp_path / "all", SimulatedLauncher(lambda config: SimulatedResult(status="oom"))
    )
    assert "7 trials failed (tune.max_failures); the last one: oom: as simulated" in str(broken.error)


REFUSING = SWEEP.replace("space:", "space:\n    model.embed_dim: {low: 15, high: 18}")


def test_a_proposal_that_cannot_be_built_is_refused_with_the_reason_and_not_counted(tmp_path: Path) -> None:
    launcher = SimulatedLauncher(peak)
    controller = search(plan_of(tmp_path, REFUSING), tmp_path, launcher)
    trials = [trial for study in controller.studies for trial in study.trials()]
    refused = [trial for trial in trials if trial.user_attrs.get("ended") == "refused"]
    assert refused
    assert all(trial.params["model.embed_dim"] in (15, 17) for trial in refused)
    assert "heads do not divide embed_dim" in refused[0].user_attrs["message"]
    assert len(launcher.starts) == 12
    assert [study.num_counted for study in controller.studies] == [6, 6]


def test_a_space_in_which_nothing_can_be_built_is_an_error_with_the_reason(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, REFUSING.replace("low: 15, high: 18", "low: 17, high: 29, step: 2"))
    with pytest.raises(UserError, match=r"200 consecutive proposals cannot be built.*heads do not divide"):
        raise search(plan, tmp_path, SimulatedLauncher(peak)).error or AssertionError


@pytest.mark.parametrize("parallel", ["1", "null"])
def test_a_known_or_running_configuration_is_not_run_again(tmp_path: Path, parallel: str) -> None:
    text = SWEEP.replace(
        "{low: 1.0e-4, high: 1.0e-2, log: true}", "{choices: [0.001, 0.002, 0.003, 0.004, 0.005, 0.006]}"
    )
    launcher = SimulatedLauncher(peak)
    plan = plan_of(tmp_path, text, "tune.sampler=random", f"tune.parallel={parallel}")
    controller = search(plan, tmp_path, launcher)
    assert [study.num_counted for study in controller.studies] == [6, 6]
    assert sum(launcher.starts.values()) < 12
    assert set(launcher.starts.values()) == {1}


def test_optuna_opens_the_journal(tmp_path: Path) -> None:
    controller = search(plan_of(tmp_path), tmp_path, SimulatedLauncher(peak))
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "optuna.journal")))
    for study in controller.studies:
        loaded = optuna.load_study(study_name=study.name, storage=storage)
        assert [trial.params for trial in loaded.trials] == [trial.params for trial in study.trials()]
        assert loaded.best_trial.number == chosen(study, controller.config)[0].number


def test_test_scores_are_never_read(tmp_path: Path) -> None:
    """Each simulated record has a test score of 0 of 0, which cannot be converted to an accuracy."""
    controller = controller_of(plan_of(tmp_path), tmp_path)
    launcher = SimulatedLauncher(peak)
    assert drive(controller, launcher, poll_s=0)
    config = next((tmp_path / "tuning/trials").glob("*/config.yaml")).read_text()
    assert "splits:\n  - val\n" in config  # real workers do not evaluate the test split


def test_the_summary_is_written_at_intervals_and_includes_the_last_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, written = plan_of(tmp_path), []
    monkeypatch.setattr(controller_module.summary, "write", lambda *args: written.append(0))
    controller = search(plan, tmp_path, SimulatedLauncher(peak))
    assert len(written) < 12, "twelve trials, each with a proposal and a result"
    monkeypatch.setattr(controller_module, "SUMMARY_EVERY_SECONDS", 0.0)
    controller._next_summary, before = 0.0, len(written)
    controller.tick()
    controller.tick()
    assert len(written) == before + 1, "a change is written once, after the interval"
