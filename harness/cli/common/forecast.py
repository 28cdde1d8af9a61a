"""How long the training of a plan will take, from the records of earlier runs on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import units
from harness.errors import UserError
from harness.launch.local.pool import num_cores, visible_gpus
from harness.launch.tasks import TrialTask
from harness.measure.machine.environment import environment
from harness.record import Costs, Record
from harness.store.load import read_record
from harness.units import counted

#: the newest records that are read
MOST_RECORDS = 200
#: fields of `train` that change the time of a multiply-accumulate
_ALIKE = ("device", "num_threads", "num_processes", "precision", "activation_checkpointing")
_MACHINE = ("hostname_hash", "cpu_model", "gpu")
_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Forecast:
    """Seconds of training with `num_at_once` trials at once: 10 %, 50 % and 90 % quantile of the earlier speeds."""

    low_s: float
    median_s: float
    high_s: float
    num_at_once: int
    num_earlier: int

    def __str__(self) -> str:
        low, middle, high = (units.duration(seconds) for seconds in (self.low_s, self.median_s, self.high_s))
        return (
            f"training takes about {middle} ({low} to {high}) with {counted(self.num_at_once, 'trial')} at once, "
            f"by {counted(self.num_earlier, 'earlier trial')} on this machine"
        )


def forecast(
    tasks: Sequence[TrialTask], costs_of: Callable[[str], Costs], runs: Path, jobs: int | None
) -> Forecast | None:
    """Return the time that the training of `tasks` takes; None where no earlier trial says it.

    The speed is that of earlier trials of the same configuration, else of all that computed in the same way.
    """
    to_train = [task for task in tasks if task.stage == "train"]
    if not to_train:
        return None
    found = list(_records(runs, to_train[0].device))
    total, used = np.zeros(3), set[str]()
    for task in to_train:
        config = task.trial.config
        alike = [record for record in found if _way(record.config) == _way(config)]
        same = [record for record in alike if _question(record.config) == _question(config)] or alike
        if not same:
            return None
        work = _work(config, costs_of(task.trial.row_id))
        total += work * np.quantile([_seconds_per_unit(record) for record in same], _QUANTILES)
        used |= {record.trial_id for record in same}
    at_once = min(jobs or _at_once(to_train[0]), len(to_train))
    low, median, high = (float(seconds) / at_once for seconds in total)
    return Forecast(low, median, high, at_once, len(used))


def _records(runs: Path, device: str) -> Iterator[Record]:
    """Yield the newest records of this machine that trained at all; damaged ones are left out."""
    here = environment(device)
    files = sorted(runs.glob("*/trials/*/record.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for file in files[:MOST_RECORDS]:
        try:
            record = read_record(file.parent)
        except UserError:
            continue
        if record is None or not (record.training.num_steps and record.training.duration_s):
            continue
        if all(record.environment.get(name) == here[name] for name in _MACHINE) and record.costs.macs.macs_per_view:
            yield record


def _way(config: Mapping[str, Any]) -> list[Any]:
    return [config["train"].get(name) for name in _ALIKE]


def _question(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without what does not change the time of a step."""
    train = {name: value for name, value in config["train"].items() if name != "num_steps"}
    return {**config, "train": train, "seed": None}


def _work(config: Mapping[str, Any], costs: Costs) -> float:
    train = config["train"]
    return float(train["num_steps"]) * train["batch_size"] * costs.macs.macs_per_view


def _seconds_per_unit(record: Record) -> float:
    steps = {"num_steps": record.training.num_steps}
    return record.training.duration_s / _work({"train": {**record.config["train"], **steps}}, record.costs)


def _at_once(task: TrialTask) -> int:
    if task.device == "cuda":
        return max(len(visible_gpus()) // task.num_processes, 1)
    return max(num_cores() // (task.num_threads * task.num_processes), 1)
