"""The plan of a sweep as a table: parameters, MACs and state of every trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from harness import units
from harness.cli.common.forecast import forecast
from harness.launch.tasks import Todo, TrialTask
from harness.measure.count.planned import planned_costs
from harness.proofs import UNPROVEN
from harness.record import Costs
from harness.registry.proven import mark_of
from harness.running import RunOptions
from harness.sweep.launch.launcher_names import LOCAL
from harness.sweep.plan import Plan, PlannedTrial
from harness.sweep.tune.space import Tuning
from harness.text.streams import console
from harness.units import counted


def print_plan(plan: Plan, trials: Sequence[PlannedTrial], todo: Todo, options: RunOptions) -> None:
    """Print one line for each trial, then the totals; models are counted on the meta device, once for each row."""
    state = {task.trial.trial_id: _state(task) for task in todo.tasks}
    num_running = sum(text.startswith("running") for text in state.values())
    state |= dict.fromkeys(todo.done, "done")
    state |= {trial_id: text.split(":")[0] for trial_id, text in todo.failed.items()}
    configs = {trial.row_id: trial.config for trial in trials}
    costs = {row_id: planned_costs(config, options.variant_dirs) for row_id, config in configs.items()}
    _print_trials(trials, costs, state, options.variant_dirs)
    if plan.tuning is not None:
        _print_search(plan, plan.tuning)
        return
    running = f", {num_running} of them running now" if num_running else ""
    print(f"{plan.name}: {counted(len(plan.rows), 'row')}, {counted(len(trials), 'trial')}: {todo.summary()}{running}")
    if plan.launch.where == LOCAL and any(task.stage == "train" for task in todo.tasks):
        found = forecast(todo.tasks, costs.__getitem__, options.runs, options.jobs or plan.launch.num_workers)
        print(found or "no time is predicted: no earlier run on this machine computed in this way")


def _state(task: TrialTask) -> str:
    """The state of an open trial in a word or two."""
    status = task.folder.status()
    if status.status == "running":
        steps = f", step {status.step}/{status.num_steps}" if status.stage == "train" and status.num_steps else ""
        return f"running{steps}"
    if task.stage == "measure":
        return "to measure"
    return "new" if status.status in ("pending", "done") else status.status


def _print_trials(
    trials: Sequence[PlannedTrial], costs: Mapping[str, Costs], state: Mapping[str, str], folders: Sequence[Path]
) -> None:
    table = Table("trial", "row", "seed", "parameters", "MACs per view", "state", box=None, pad_edge=False)
    unproven = {name for name in {trial.config["variant"]["name"] for trial in trials} if mark_of(name, folders)}
    for trial in trials:
        row = costs[trial.row_id]
        marks: list[str] = [row.macs.status] * (row.macs.status != "exact")
        marks += ["unproven"] * (trial.config["variant"]["name"] in unproven)
        mark = f" ({', '.join(marks)})" if marks else ""
        text, parameters = units.macs(row.macs.macs_per_view) + mark, units.count(row.num_parameters)
        table.add_row(trial.trial_id, trial.label, str(trial.seed), parameters, text, state[trial.trial_id])
    # a pipe has no width; lines must not be cut
    console(width=200).print(table, markup=False)
    if unproven:
        print(UNPROVEN)


def _print_search(plan: Plan, tuning: Tuning) -> None:
    budget = tuning.config.num_trials
    size = f"{counted(budget, 'trial')} for each of {counted(len(plan.rows), 'row')}"
    print(f"{plan.name}: first a search of {size}, which begins at these")
    print("configurations; then what is chosen is trained with each seed.")
    for row_id, space in tuning.spaces.items():
        label = next(row.label for row in plan.rows if row.row_id == row_id)
        print(f"{label}: over {', '.join(item.name for item in space.parameters)}")
