"""Simulates searches: a launcher that writes real trial folders from a function of the configuration, in no time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data import data_identity
from harness.launch.snapshot import OWN
from harness.launch.source import drive
from harness.launch.tasks import TrialTask
from harness.record import Record, Score
from harness.store import Store, TrialStatus
from harness.sweep.plan import Plan, plan_sweep
from harness.tune.controller import Controller
from harness.worker import pruning
from tests.reports.factory import make_costs, make_record

SWEEP = """
question: Which scheme is best after the same search for each?
data: {name: moving_shapes, task: motion, num_train: 512, num_val: 20, num_test: 40}
model: {embed_dim: 16, depth: 1, num_heads: 2, num_frames: 4, crop_size: 12, temporal_position: none}
train: {num_steps: 100, batch_size: 8, device: cpu}
variant: joint
vary: [{list: [{variant: joint, label: whole}, {variant: mixing}]}]
seeds: 2
baseline: {variant: joint}
tune:
  num_trials: 6
  parallel: 1
  space:
    train.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
    variant.temporal_window: {choices: [0, 1, 2], where: {variant: mixing}}
"""


@dataclass(frozen=True)
class SimulatedResult:
    """The result of a simulated trial."""

    correct: int = 500
    macs: int = 1000
    latency_ms: float = 1.0
    status: str = "done"
    reports: Sequence[int] = ()


Simulate = Callable[[dict[str, Any]], SimulatedResult]


class SimulatedLauncher:
    """A launcher whose tasks end at the next poll. `starts` counts the starts of each trial."""

    def __init__(self, simulate: Simulate, stop_after: int | None = None):
        self.simulate, self.stop_after = simulate, stop_after
        self.starts: Counter[str] = Counter()
        self.running: list[TrialTask] = []

    def start(self, tasks: Sequence[TrialTask]) -> None:
        for task in tasks:
            self.starts[task.trial.trial_id] += 1
            self.running.append(task)
            for step, correct in enumerate(self.simulate(task.trial.config).reports):
                pruning.append_report(task.folder, 10 * (step + 1), {"verb": (correct, 1000)})

    def poll(self) -> list[TrialTask]:
        ended, self.running = self.running, []
        for task in ended:
            outcome = self.simulate(task.trial.config)
            status = "pruned" if pruning.prune_file(task.folder).exists() else outcome.status
            if status == "done":
                task.folder.write_record(record_of(task, outcome))
            task.folder.write_status(TrialStatus(status=status, message="as simulated"))
        return ended

    def should_stop(self) -> bool:
        return self.stop_after is not None and sum(self.starts.values()) >= self.stop_after


def record_of(task: TrialTask, outcome: SimulatedResult) -> Record:
    """Returns a record with a test score that no search may see: all wrong."""
    trial = task.trial
    record = make_record(trial.trial_id, trial.seed, config=trial.config).model_copy(
        update={"config": trial.config, "data_identity": trial.data_identity}
    )
    record.scores = {
        "val": {"verb": Score(top1_correct=max(0, outcome.correct), top5_correct=None, total=1000)},
        "test": {"verb": Score(top1_correct=0, top5_correct=None, total=1000)},
    }
    record.costs = make_costs(outcome.macs, outcome.latency_ms, 1.0)
    return record


def plan_of(folder: Path, text: str = SWEEP, *overrides: str) -> Plan:
    """Plans a sweep from text."""
    path = folder / "search.yaml"
    path.write_text(text, encoding="utf-8")
    return plan_sweep(path, overrides, data_identity=data_identity, device=lambda: "cpu")


def controller_of(plan: Plan, run: Path) -> Controller:
    """Returns the controller of a search in the folder of a run."""
    assert plan.tuning is not None
    return Controller(plan, plan.tuning, run, Store(run / "tuning"), OWN)


def search(plan: Plan, run: Path, launcher: SimulatedLauncher) -> Controller:
    """Runs a search until it ends or the launcher asks to stop; returns its controller."""
    controller = controller_of(plan, run)
    drive(controller, launcher, poll_s=0, should_stop=launcher.should_stop)
    return controller


def proposals(controller: Controller) -> list[list[dict[str, Any]]]:
    """Returns the proposals of each row that have a value, in order."""
    return [[trial.params for trial in study.trials() if trial.values] for study in controller.studies]


def learning_rate(config: dict[str, Any]) -> float:
    """Returns the learning rate, which all rows search."""
    return float(config["train"]["learning_rate"])


def peak(config: dict[str, Any]) -> SimulatedResult:
    """Simulates an accuracy with its peak at a learning rate of 1e-3 that rises with the window; costs rise with both."""
    distance = abs(math.log10(learning_rate(config)) + 3)
    window = config["variant"].get("temporal_window", 1)
    cost = round(1e6 * learning_rate(config)) * (1 + window)
    return SimulatedResult(round(900 - 400 * distance + 30 * window), macs=cost, latency_ms=1e3 * learning_rate(config))
