"""The plan of a sweep as a table: parameters, MACs and state of every trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from harness import units
from harness.launch.tasks import Todo
from harness.measure.count.planned import planned_costs
from harness.record import Costs
from harness.sweep.plan import Plan, PlannedTrial
from harness.text.streams import console
from harness.units import counted


def print_plan(plan: Plan, trials: Sequence[PlannedTrial], todo: Todo, variant_dirs: Sequence[Path]) -> None:
    """Print one line for each trial; models are counted on the meta device, once for each row."""
    state = {task.trial.trial_id: "new" if task.stage == "train" else "to measure" for task in todo.tasks}
    state |= dict.fromkeys(todo.done, "cached")
    state |= {trial_id: f"failed before ({text.split(':')[0]})" for trial_id, text in todo.failed.items()}
    table = Table("trial", "row", "seed", "parameters", "MACs per view", "state", box=None, pad_edge=False)
    costs: dict[str, Costs] = {}
    for trial in trials:
        if trial.row_id not in costs:
            costs[trial.row_id] = planned_costs(trial.config, variant_dirs)
        row = costs[trial.row_id]
        mark = "" if row.macs.status == "exact" else f" ({row.macs.status})"
        text, parameters = units.macs(row.macs.macs_per_view) + mark, units.count(row.num_parameters)
        table.add_row(trial.trial_id, trial.label, str(trial.seed), parameters, text, state[trial.trial_id])
    # a pipe has no width; lines must not be cut
    console(width=200).print(table, markup=False)
    if plan.tuning is None:
        print(f"{plan.name}: {counted(len(plan.rows), 'row')}, {counted(len(trials), 'trial')}: {todo.summary()}")
        return
    budget = plan.tuning.config.num_trials
    size = f"{counted(budget, 'trial')} for each of {counted(len(plan.rows), 'row')}"
    print(f"{plan.name}: first a search of {size}, which begins at these")
    print("configurations; then what is chosen is trained with each seed.")
    for row_id, space in plan.tuning.spaces.items():
        label = next(row.label for row in plan.rows if row.row_id == row_id)
        print(f"{label}: over {', '.join(item.name for item in space.parameters)}")
