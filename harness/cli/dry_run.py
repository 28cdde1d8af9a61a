"""The plan of a sweep as a table: parameters, MACs and state of every trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness import units
from harness.data import open_split
from harness.launch.todo import Todo
from harness.measure.macs import count_model
from harness.model.trunk import VideoTransformer
from harness.record import MacsCount
from harness.sweep.plan import Plan, PlannedTrial
from harness.sweep.schema import TrialConfig


def print_plan(plan: Plan, trials: Sequence[PlannedTrial], todo: Todo, variant_dirs: Sequence[Path]) -> None:
    """One line per trial; models are counted on the meta device, once per row."""
    state = {task.trial.trial_id: "new" if task.stage == "train" else "to measure" for task in todo.tasks}
    state |= dict.fromkeys(todo.done, "cached")
    state |= {trial_id: f"failed before ({text.split(':')[0]})" for trial_id, text in todo.failed.items()}
    table = Table("trial", "row", "seed", "parameters", "MACs per view", "state", box=None, pad_edge=False)
    costs: dict[str, tuple[int, MacsCount]] = {}
    for trial in trials:
        if trial.row_id not in costs:
            costs[trial.row_id] = _count(trial, variant_dirs)
        parameters, macs = costs[trial.row_id]
        mark = "" if macs.status == "exact" else f" ({macs.status})"
        text = units.macs(macs.macs_per_view) + mark
        table.add_row(trial.trial_id, trial.label, str(trial.seed), units.count(parameters), text, state[trial.trial_id])
    # a pipe has no width: never cut a line there
    console = Console() if Console().is_terminal else Console(width=200)
    console.print(table, markup=False)
    print(f"{plan.name}: {len(plan.rows)} rows, {len(trials)} trials: {todo.summary()}")


def _count(trial: PlannedTrial, variant_dirs: Sequence[Path]) -> tuple[int, MacsCount]:
    """Parameters and MACs of a row, without allocating the model."""
    import torch

    config = TrialConfig(**trial.config)
    labels = open_split(config.data, config.model, "test", config.seed).labels
    model, size = config.model, config.model.crop_size
    macs = count_model(lambda: VideoTransformer.of(config, labels, variant_dirs), (model.num_frames, 3, size, size))
    with torch.device("meta"):
        built = VideoTransformer.of(config, labels, variant_dirs)
    return sum(p.numel() for p in built.parameters() if p.requires_grad), macs
