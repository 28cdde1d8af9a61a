"""Writes the state of a search: `tuning/studies.json`, `tuning/plan.json`, a log line for each trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from harness.store import Store, write_atomically
from harness.store.plan_file import PlanFile, PlannedRow, TunedRow, TunedTrial, TuningFile
from harness.store.sealed.models import sealed_text
from harness.sweep.plan import Plan
from harness.sweep.tune.config import TuneConfig
from harness.sweep.tune.space import Tuning
from harness.tune.choice import chosen
from harness.tune.journal import SealedJournal
from harness.tune.study import Study

STUDIES_FILE = "studies.json"
STATES = {TrialState.RUNNING: "running", TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}


def write(store: Store, plan: Plan, tuning: Tuning, studies: Sequence[Study], journal: SealedJournal) -> None:
    """Writes the studies, and their trials as a plan, so that `status` shows them."""
    config = tuning.config
    content = TuningFile(
        objectives=config.objectives,
        bounds=config.constraints.bounds(),
        num_trials=config.num_trials,
        train_seed=tuning.train_seed,
        sampler=f"{_sampler(config)}, seed {config.seed}; pruner: {config.pruner}; optuna {optuna.__version__}",
        rows=[_row(study, config) for study in studies],
        journal_lines=journal.num_lines,
        journal_seal=journal.seal,
    )
    write_atomically(store.path / STUDIES_FILE, sealed_text(content))
    rows: dict[str, PlannedRow] = {}
    for row in content.rows:
        for trial in row.trials:
            if trial.trial_id is not None:
                label, ids = f"{row.label} #{trial.number}", {str(tuning.train_seed): trial.trial_id}
                planned = PlannedRow(row_id=trial.trial_id, label=label, values=trial.params, trials=ids)
                rows.setdefault(trial.trial_id, planned)
    names = dict.fromkeys(name for row in rows.values() for name in row.values)
    store.write_plan(PlanFile(sweep=plan.name, question=plan.question, axes=[*names], rows=[*rows.values()]))


def _sampler(config: TuneConfig) -> str:
    """Describes the sampler and how many of its proposals are random."""
    if config.sampler == "random":
        return config.sampler
    return f"{config.sampler} (the first {min(config.num_startup_trials, config.num_trials)} at random)"


def line(study: Study, number: int, config: TuneConfig) -> str:
    """Formats one line about a proposal: state, parameters, values, and the budget used so far."""
    trial = _trial(study.trial(number), False)
    values = dict(zip(config.objectives, trial.values or [], strict=False))
    result = ", ".join(f"{name} {value:.4g}" for name, value in values.items()) or trial.message
    if trial.state == "pruned" and trial.last_val_top1 is not None:
        result = f"last val_top1 {trial.last_val_top1:.4g}"
    params = ", ".join(f"{name.split('.')[-1]} = {_short(value)}" for name, value in trial.params.items())
    return f"{trial.state:9s} {study.label} #{number} ({params}): {result}  [{study.num_counted}/{config.num_trials}]"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _row(study: Study, config: TuneConfig) -> TunedRow:
    best = {trial.number for trial in chosen(study, config)}
    trials = [_trial(trial, trial.number in best) for trial in study.trials()]
    return TunedRow(
        row_id=study.row_id, label=study.label, study=study.name, num_counted=study.num_counted, trials=trials
    )


def _trial(trial: FrozenTrial, is_chosen: bool) -> TunedTrial:
    reported = trial.intermediate_values
    return TunedTrial(
        number=trial.number,
        trial_id=trial.user_attrs.get("trial_id"),
        state=STATES.get(trial.state) or trial.user_attrs.get("ended", "failed"),
        message=trial.user_attrs.get("message", ""),
        params=trial.params,
        values=trial.values if trial.state == TrialState.COMPLETE else None,
        last_val_top1=reported[max(reported)] if reported else None,
        excess=dict(trial.constraints),
        chosen=is_chosen,
    )
