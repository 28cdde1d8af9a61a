"""Every row of every sweep trains: two steps on a few clips give a record with exact counts and complete scores."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness import worker
from harness.data import data_identity
from harness.launch.snapshot import OWN
from harness.launch.tasks import find_todo, prepare
from harness.registry import variant_names
from harness.store import Store, TrialFolder
from harness.sweep.plan import Plan, PlannedTrial, plan_sweep

ROOT = Path(__file__).resolve().parent.parent.parent
# too large to train; needs videos on disk
NOT_HERE = ("published_cost", "from_videos")
SWEEPS = [path for path in sorted((ROOT / "sweeps").glob("*.yaml")) if path.stem not in NOT_HERE]
NUM_VAL, NUM_TEST = 6, 8
OVERRIDES = [
    "seeds=1", "train.num_steps=2", "train.batch_size=4", "train.device=cpu",
    "data.num_train=16", f"data.num_val={NUM_VAL}", f"data.num_test={NUM_TEST}",
    "measure.batch_size=2", "measure.min_samples=3", "measure.max_seconds=0.05",
]  # fmt: skip
MEASURED = ("mixing", "divided", "pooled", "nystrom")


def planned(path: Path, *more: str) -> Plan:
    return plan_sweep(path, [*OVERRIDES, *more], data_identity=data_identity)


PLANS = [planned(path) for path in SWEEPS]
# variants that no sweep uses are trained with their defaults
PLANS.append(planned(ROOT / "sweeps/schemes.yaml", f"vary=[{{grid: {{variant: {variant_names()}}}}}]", "baseline=null"))
# equal rows of two sweeps are one trial
TRIALS: dict[str, tuple[Plan, PlannedTrial]] = {
    trial.trial_id: (plan, trial) for plan in reversed(PLANS) for trial in plan.trials
}


def identify(trial_id: str) -> str:
    plan, trial = TRIALS[trial_id]
    return f"{plan.name}: {trial.label}"


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """Restores signal handlers and threads, which a worker changes in its process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)}
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run_row(store: Store, trial_id: str, stage: worker.Stage = "train") -> TrialFolder:
    """Runs a stage of one trial in this process."""
    plan, trial = TRIALS[trial_id]
    prepare(find_todo(plan, store, [trial]), plan, OWN)
    folder = store.trial(trial_id)
    code = worker.run(folder.path, stage)
    assert code == worker.EXIT_DONE, folder.written_status().message
    return folder


@pytest.mark.parametrize("trial_id", TRIALS, ids=identify)
def test_the_row_trains(tmp_path: Path, trial_id: str) -> None:
    folder = run_row(Store(tmp_path), trial_id)
    record = folder.record()
    assert record is not None
    assert record.costs.macs.status == "exact"
    assert record.costs.macs.macs_per_view == record.costs.macs.closed_form_macs > 0
    assert record.training.num_steps == 2
    assert record.training.final_loss is not None
    assert math.isfinite(record.training.final_loss)
    assert {split: {score.total for score in scores.values()} for split, scores in record.scores.items()} == {
        "val": {NUM_VAL},
        "test": {NUM_TEST},
    }
    assert folder.written_status().status == "queued"


def test_every_variant_is_among_the_rows() -> None:
    assert {trial.config["variant"]["name"] for _, trial in TRIALS.values()} == set(variant_names())
    assert {"schemes", "window_size"} <= {path.stem for path in SWEEPS}


@pytest.mark.parametrize("name", MEASURED)
def test_a_trained_row_is_measured(tmp_path: Path, name: str) -> None:
    trial_id = next(key for key, (_, trial) in TRIALS.items() if trial.config["variant"]["name"] == name)
    store = Store(tmp_path)
    before = run_row(store, trial_id).record()
    folder = run_row(store, trial_id, "measure")
    record = folder.record()
    assert before is not None
    assert record is not None
    assert record.scores == before.scores
    assert record.costs.memory is not None
    assert record.costs.timings is not None
    assert folder.written_status().status == "done"
