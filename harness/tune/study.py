"""The search for one row: an optuna study, told only what the files of trials say.

What it proposes is a function of the sampler's seed and of what it was told: the sampler is made anew for every
proposal, from (seed, number of proposals so far), so that a killed search goes on as if nothing had happened. Rows
with the same space begin with the same random configurations.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from harness.quantities import search_quantity
from harness.sweep.identity import canonical_json
from harness.sweep.tune.config import TuneConfig
from harness.sweep.tune.space import Parameter, RowSpace, Value

JOURNAL = "optuna.journal"
LOCK_SUFFIX = ".lock"  # of optuna's own lock beside the journal
MAX_STARTS = 3  # of one configuration whose worker is killed again and again
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)
UNBEGUN = "the search was killed while it made this proposal"
#: what can be changed while a search goes on: it decides when to stop, not what to propose next
NOT_IN_STUDY_NAME = {"num_trials", "parallel", "max_failures", "constraints", "space"}


def open_journal(run: Path) -> JournalStorage:
    """Opens the journal of a run for its only writer, and removes what a killed one left.

    A writer killed in the midst leaves half a line, which would spoil all that is appended after it, and a lock that
    others would wait for. The caller holds the run's lock, so nobody else can be writing.
    """
    path = run / JOURNAL
    Path(f"{path}{LOCK_SUFFIX}").unlink(missing_ok=True)
    if path.exists():
        _cut_to_whole_lines(path)
    return JournalStorage(JournalFileBackend(str(path)))


def _cut_to_whole_lines(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


@dataclass(frozen=True)
class Proposal:
    """One configuration that the search asks for."""

    number: int
    values: dict[str, Value]


def distribution(parameter: Parameter) -> BaseDistribution:
    """A parameter as optuna knows it."""
    config = parameter.config
    if config.choices is not None:
        return CategoricalDistribution(config.choices)
    assert config.low is not None
    assert config.high is not None
    if parameter.integer:
        return IntDistribution(int(config.low), int(config.high), log=config.log, step=int(config.step or 1))
    return FloatDistribution(float(config.low), float(config.high), log=config.log, step=config.step)


def study_name(space: RowSpace, label: str, config: TuneConfig, train_seed: int) -> str:
    """The row's label, and a hash of all that an edited sweep file may not change under a study."""
    asked = {
        "row": space.row.row_id,
        "space": {item.name: item.config.model_dump(exclude={"where"}) for item in space.parameters},
        "bounds": config.constraints.bounds(),
        "train_seed": train_seed,
        **config.model_dump(exclude=NOT_IN_STUDY_NAME),
    }
    return f"{label} [{hashlib.sha256(canonical_json(asked).encode()).hexdigest()[:8]}]"


class Study:
    """The search for one row. `ask` and `tell_*` keep the journal; nothing else is remembered."""

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
        """All proposals, by number; those that wait to be asked again left out."""
        return [trial for trial in self.optuna.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def running(self) -> list[Proposal]:
        """Proposals that were asked for and not told."""
        return [_proposal(trial) for trial in self.trials() if trial.state == TrialState.RUNNING]

    @property
    def num_counted(self) -> int:
        """Proposals that count for the budget."""
        return sum(trial.state in COUNTED for trial in self.trials())

    @property
    def num_claimed(self) -> int:
        """Of the budget: used up, or running."""
        return self.num_counted + len(self.running())

    def failures(self) -> list[FrozenTrial]:
        """Trials that were begun and came out with no value by their own fault."""
        return [trial for trial in self.trials() if _ended(trial) == "failed"]

    def refused_in_a_row(self) -> int:
        """How many of the latest proposals could not be built, one after another."""
        number = 0
        for trial in reversed(self.trials()):
            if _ended(trial) != "refused":
                break
            number += 1
        return number

    def ask(self) -> Proposal:
        """The next proposal: one that was lost, or a new one."""
        self._enqueue_lost()
        fresh = [trial for trial in self.trials() if "again_of" not in trial.user_attrs and _was_made(trial)]
        self.optuna.sampler = _sampler(self.config, len(fresh))
        trial = self.optuna.ask(self.distributions)
        return Proposal(trial.number, dict(trial.params))

    def has_pruned(self, trial_id: str) -> bool:
        """Whether this study itself gave a trial up."""
        told = [trial for trial in self.trials() if trial.state == TrialState.PRUNED]
        return any(trial.user_attrs.get("trial_id") == trial_id for trial in told)

    def note(self, number: int, trial_id: str) -> None:
        """Keeps which trial a proposal stands for, for readers of the journal."""
        self._trial(number).set_user_attr("trial_id", trial_id)

    def report(self, number: int, step: int, value: float) -> bool:
        """Tells the accuracy on val after a step; whether the trial is to be stopped early."""
        trial = self._trial(number)
        if step not in self.trial(number).intermediate_values:
            trial.report(value, step)
        return trial.should_prune()

    def mark_complete(self, number: int, values: list[float], excess: Mapping[str, float]) -> None:
        """The objectives of a finished trial, and by how much each constrained cost exceeds its bound."""
        trial = self._trial(number)
        known = self.trial(number).constraints
        for name, amount in excess.items():
            if name not in known:
                trial.set_constraint(name, amount)
        self.optuna.tell(number, values)

    def mark_pruned(self, number: int) -> None:
        """The trial was stopped early."""
        self.optuna.tell(number, state=TrialState.PRUNED)

    def mark_failed(self, number: int, ended: str, message: str) -> None:
        """No value. `ended`: refused (cannot be built), failed (by its own error), lost (asked again, a few times)."""
        trial = self._trial(number)
        if ended == "lost" and self._num_starts(number) >= MAX_STARTS:
            ended, message = "failed", f"lost {MAX_STARTS} times: {message}"
        trial.set_user_attr("message", message)
        trial.set_user_attr("ended", ended)
        self.optuna.tell(number, state=TrialState.FAIL)

    def _enqueue_own(self, values: dict[str, Value] | None) -> None:
        """Makes the file's own configuration the first proposal, so that a search never ends below it unnoticed."""
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
        """How often the configuration of a proposal was asked for, itself included."""
        before = self.trial(number).user_attrs.get("again_of")
        return 1 if before is None else 1 + self._num_starts(before)

    def _close_unbegun(self) -> None:
        """Proposals that a killed search left without all their values: nothing was run for them."""
        for trial in self.trials():
            if trial.state == TrialState.RUNNING and trial.params.keys() != self.distributions.keys():
                self.mark_failed(trial.number, "unbegun", UNBEGUN)

    def trial(self, number: int) -> FrozenTrial:
        """One proposal as the journal has it."""
        return self.optuna.get_trials(deepcopy=False)[number]

    def _trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self.optuna, self.trial(number)._trial_id)


def _direction(objective: str) -> str:
    return "maximize" if search_quantity(objective).direction == "higher" else "minimize"


def _ended(trial: FrozenTrial) -> str:
    """Why a proposal has no value; empty while it may still get one."""
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
