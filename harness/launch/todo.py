"""What a run still has to do, read from its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.record import FINAL_STATUSES
from harness.store import Store, TrialFolder
from harness.sweep.plan import Plan, PlannedTrial


@dataclass(frozen=True)
class Task:
    """One stage of one trial that is still to be run."""

    trial: PlannedTrial
    folder: TrialFolder
    stage: str
    num_threads: int
    device: str


@dataclass(frozen=True)
class Todo:
    """The trials of a plan by what is to be done with them; `failed` ended badly before and need `retry`."""

    tasks: list[Task]
    done: list[str]
    failed: dict[str, str]

    def summary(self) -> str:
        """One line: how many trials are new, half-way, cached and failed before."""
        stages = Counter(task.stage for task in self.tasks)
        parts = [f"{stages['train']} to train", f"{stages['measure']} to measure", f"{len(self.done)} done before"]
        if self.failed:
            parts.append(f"{len(self.failed)} failed before (`retry` starts them again)")
        return ", ".join(parts)


def state_of(folder: TrialFolder) -> tuple[str, str]:
    """(status, message) of a trial by its files: the record is the truth, `status.json` a hint.

    Raises: UserError for a damaged record.
    """
    record = folder.record()
    # a trial of a search has no score on test, and is measured only where the search asks for it
    if record is not None and (record.costs.timings is not None or "test" not in record.scores):
        return "done", ""
    status = folder.status()
    if status.status in ("done", "pending", "queued"):  # a status without the record it speaks of, or half-way
        return ("queued", "trained; to be measured") if record is not None else ("pending", "")
    return status.status, status.message


def find_todo(plan: Plan, store: Store, only: Sequence[PlannedTrial] | None = None) -> Todo:
    """Sorts the trials of a plan (or a selection of them) by what their files say."""
    todo = Todo([], [], {})
    for trial in plan.trials if only is None else only:
        folder = store.trial(trial.trial_id)
        status, message = state_of(folder)
        if status == "done":
            todo.done.append(trial.trial_id)
        elif status in FINAL_STATUSES:
            todo.failed[trial.trial_id] = f"{status}: {message}"
        else:
            stage = "train" if folder.record() is None else "measure"
            train = trial.config["train"]
            todo.tasks.append(Task(trial, folder, stage, train["num_threads"], train["device"]))
    return todo


def prepare(todo: Todo, plan: Plan, variant_dirs: Sequence[Path], options: Mapping[str, Any] | None = None) -> None:
    """Writes the configuration of every trial that is to be run; `options` are told to the worker too."""
    extra: Mapping[str, Any] = {
        "variant_dirs": [str(Path(folder).resolve()) for folder in variant_dirs],
        "checkpoint_every_steps": plan.launch.checkpoint_every_steps,
        "memory_limit_mib": plan.launch.memory_limit_mib,
        **(options or {}),
    }
    for task in todo.tasks:
        launch = {**extra, "data_identity": task.trial.data_identity}
        task.folder.create({"trial": task.trial.config, "launch": launch})
