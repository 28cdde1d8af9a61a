"""Searches one row with an optuna study, and stores all studies of a run in a journal.

A proposal depends only on the sampler's seed and the results so far: a new sampler is created for every proposal from
(seed, number of proposals), so that a killed search continues as if uninterrupted. Rows with equal spaces start with
equal random configurations.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from harness.quantities import search_quantity
from harness.sweep.identity import canonical_json
from harness.sweep.tune.config import TuneConfig
from harness.sweep.tune.space import Parameter, RowSpace, Value

MAX_STARTS = 3  # starts of one configuration whose worker is killed each time
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)
UNBEGUN = "the search was killed while it created this proposal"
#: not part of a study's name: the first three do not affect proposals, the others are part of it in another form
NOT_IN_STUDY_NAME = {"num_trials", "parallel", "max_failures", "constraints", "space"}


@dataclass(frozen=True)
class Proposal:
    """One configuration that the search proposes."""

    number: int
    values: dict[str, Value]


def distribution(parameter: Parameter) -> BaseDistribution:
    """Converts a parameter to an optuna distribution."""
    config = parameter.config
    if config.choices is not None:
        return CategoricalDistribution(config.choices)
    assert config.low is not None
    assert config.high is not None
    if parameter.integer:
        return IntDistribution(int(config.low), int(config.high), log=config.log, step=int(config.step or 1))
    return FloatDistribution(float(config.low), float(config.high), log=config.log, step=config.step)


def study_name(space: RowSpace, label: str, config: TuneConfig, train_seed: int) -> str:
    """Returns the label of the row and a hash of everything that distinguishes one study from another."""
    identity = {
        "row": space.row.row_id,
        "space": {item.name: item.config.model_dump(exclude={"where"}) for item in space.parameters},
        "bounds": config.constraints.bounds(),
        "train_seed": train_seed,
        **config.model_dump(exclude=NOT_IN_STUDY_NAME),
    }
    return f"{label} [{hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:8]}]"


class Study:
    """The search for one row. `ask`, `report` and `mark_*` write to the journal; there is no other state."""

    def __init__(
        self, storage: optuna.storages.BaseStorage, space: RowSpace, label: str, config: TuneConfig, train_seed: int
    ):
        logging.getLogger("optuna").setLevel(logging.WARNING)
        self.row_id, self.label, self.config = space.row.row_id, label, config
        self.distributions = {item.name: distribution(item) for item in space.parameters}
        self.name = study_name(space, label, config, train_seed)
        directions: list[Any] = [_direction(name) for name in config.objectives]
        self.optuna = optuna.create_study(
            storage=storage, study_name=self.name, directions=directions, load_if_exists=True, pruner=_pruner(config)
        )
        self._close_unbegun()
        self._enqueue_own(space.own_values)

    def trials(self) -> list[FrozenTrial]:
        """Returns all proposals ordered by number, without those that are queued to be proposed again."""
        return [trial for trial in self.optuna.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def running(self) -> list[Proposal]:
        """Returns the proposals without a result."""
        return [_proposal(trial) for trial in self.trials() if trial.state == TrialState.RUNNING]

    @property
    def num_counted(self) -> int:
        """Number of proposals that count towards the budget."""
        return sum(trial.state in COUNTED for trial in self.trials())

    @property
    def num_claimed(self) -> int:
        """Number of proposals that count towards the budget or may still count."""
        return self.num_counted + len(self.running())

    def failures(self) -> list[FrozenTrial]:
        """Returns the trials that failed by themselves, without those that were lost or refused."""
        return [trial for trial in self.trials() if _ended(trial) == "failed"]

    def refused_in_a_row(self) -> int:
        """Counts the latest consecutive proposals that could not be built."""
        number = 0
        for trial in reversed(self.trials()):
            if _ended(trial) != "refused":
                break
            number += 1
        return number

    def ask(self) -> Proposal:
        """Returns the next proposal: one that was lost, else a new one."""
        self._enqueue_lost()
        fresh = [trial for trial in self.trials() if "again_of" not in trial.user_attrs and _was_made(trial)]
        self.optuna.sampler = _sampler(self.config, len(fresh))
        trial = self.optuna.ask(self.distributions)
        return Proposal(trial.number, dict(trial.params))

    def has_pruned(self, trial_id: str) -> bool:
        """Returns True if this study pruned the trial."""
        pruned = [trial for trial in self.trials() if trial.state == TrialState.PRUNED]
        return any(trial.user_attrs.get("trial_id") == trial_id for trial in pruned)

    def note(self, number: int, trial_id: str) -> None:
        """Stores the trial id of a proposal in the journal."""
        self._trial(number).set_user_attr("trial_id", trial_id)

    def report(self, number: int, step: int, value: float) -> bool:
        """Reports the validation accuracy after a step; returns True if the trial should be pruned."""
        trial = self._trial(number)
        if step not in self.trial(number).intermediate_values:
            trial.report(value, step)
        return trial.should_prune()

    def mark_complete(self, number: int, values: list[float], excess: Mapping[str, float]) -> None:
        """Stores the objectives of a completed trial, and the excess of each constrained cost over its bound."""
        trial = self._trial(number)
        known = self.trial(number).constraints
        for name, amount in excess.items():
            if name not in known:
                trial.set_constraint(name, amount)
        self.optuna.tell(number, values)

    def mark_pruned(self, number: int) -> None:
        """Marks a trial as stopped early."""
        self.optuna.tell(number, state=TrialState.PRUNED)

    def mark_failed(self, number: int, ended: str, message: str) -> None:
        """Marks a proposal as failed. `ended` is refused (cannot be built), failed, or lost (proposed again)."""
        trial = self._trial(number)
        if ended == "lost" and self._num_starts(number) >= MAX_STARTS:
            ended, message = "failed", f"lost {MAX_STARTS} times: {message}"
        trial.set_user_attr("message", message)
        trial.set_user_attr("ended", ended)
        self.optuna.tell(number, state=TrialState.FAIL)

    def _enqueue_own(self, values: dict[str, Value] | None) -> None:
        """Queues the configuration of the sweep file as the first proposal, so that the search covers it."""
        every = self.optuna.get_trials(deepcopy=False)
        if values is not None and not any("own" in trial.user_attrs and _was_made(trial) for trial in every):
            self.optuna.enqueue_trial(values, user_attrs={"own": True})

    def _enqueue_lost(self) -> None:
        every = self.optuna.get_trials(deepcopy=False)
        again = {trial.user_attrs.get("again_of") for trial in every if _was_made(trial)}
        for trial in every:
            if _ended(trial) == "lost" and trial.number not in again:
                self.optuna.enqueue_trial(trial.params, user_attrs={"again_of": trial.number})

    def _num_starts(self, number: int) -> int:
        """Counts how often the configuration of a proposal was proposed, including this time."""
        before = self.trial(number).user_attrs.get("again_of")
        return 1 if before is None else 1 + self._num_starts(before)

    def _close_unbegun(self) -> None:
        """Marks proposals as failed that a killed search left incomplete; no trial was started for them."""
        for trial in self.trials():
            if trial.state == TrialState.RUNNING and trial.params.keys() != self.distributions.keys():
                self.mark_failed(trial.number, "unbegun", UNBEGUN)

    def trial(self, number: int) -> FrozenTrial:
        """Returns one proposal from the journal."""
        return self.optuna.get_trials(deepcopy=False)[number]

    def _trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self.optuna, self.trial(number)._trial_id)


def _direction(objective: str) -> str:
    return "maximize" if search_quantity(objective).direction == "higher" else "minimize"


def _ended(trial: FrozenTrial) -> str:
    """Returns the reason why a failed proposal has no value; empty for others."""
    return str(trial.user_attrs.get("ended", "")) if trial.state == TrialState.FAIL else ""


def _was_made(trial: FrozenTrial) -> bool:
    return _ended(trial) != "unbegun"


def _proposal(trial: FrozenTrial) -> Proposal:
    return Proposal(trial.number, dict(trial.params))


def _sampler(config: TuneConfig, num_proposals: int) -> optuna.samplers.BaseSampler:
    text = f"{config.seed}/{num_proposals}"
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    if config.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(n_startup_trials=config.num_startup_trials, seed=seed)


def _pruner(config: TuneConfig) -> optuna.pruners.BasePruner:
    if config.pruner == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(config.num_unpruned_trials, config.prune_after_steps)
