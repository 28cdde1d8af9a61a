"""Times planning, preparing and listing a sweep with many trials. Seconds, best of three.

    python benchmarks/scale.py [NUM_TRIALS]

No step should grow faster than the number of trials, so each is also timed for a tenth of them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness.data import data_identity
from harness.launch.overview import standings, tally
from harness.launch.tasks import find_todo, prepare
from harness.store import Store
from harness.store.trial import TrialStatus
from harness.sweep.plan import Plan, plan_sweep

SWEEP = """
question: How long does it take to manage many trials?
data: {{name: moving_shapes}}
model: {{embed_dim: 16, depth: 1, num_heads: 2, num_frames: 4, crop_size: 12}}
variant: {{name: mixing, temporal_window: 1}}
train: {{device: cpu}}
vary: [{{grid: {{variant.temporal_window: [0, 1], train.learning_rate: {rates}}}}}]
seeds: 10
"""


def best(what: Callable[[], object], repeats: int = 3) -> float:
    """Returns the minimum duration of several calls in seconds, which is the least disturbed one."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        what()
        times.append(time.perf_counter() - start)
    return min(times)


def finish_all(plan: Plan, store: Store) -> None:
    """Marks every trial as done, with a record file of typical size."""
    for trial in plan.trials:
        folder = store.trial(trial.trial_id)
        folder.record_file.write_text("x" * 20_000)
        folder.write_status(TrialStatus(status="done", record_stamp=folder.record_stamp()))


def measure(num_trials: int) -> dict[str, float]:
    """Returns step -> seconds for this number of trials."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "many.yaml"
        file.write_text(SWEEP.format(rates=[1e-5 * (1 + number) for number in range(num_trials // 20)]))
        store = Store(Path(name) / "runs/many")
        plan = plan_sweep(file, data_identity=data_identity)
        found = {"plan": best(lambda: plan_sweep(file, data_identity=data_identity))}
        store.write_plan(plan.to_file())
        found["prepare folders"] = best(lambda: prepare(find_todo(plan, store), plan, []), 1)
        found["status, all pending"] = best(lambda: tally(standings(store, store.plan())))
        finish_all(plan, store)
        found["status, all done"] = best(lambda: tally(standings(store, store.plan())))
        found["find open trials"] = best(lambda: find_todo(plan, store))
        return found


def main(num_trials: int) -> None:
    few, many = measure(num_trials // 10), measure(num_trials)
    print(f"{'':22s} {num_trials // 10:>8d} {num_trials:>8d} trials")
    for step, seconds in many.items():
        print(f"{step:22s} {few[step]:8.3f} {seconds:8.3f} s   {seconds / few[step]:5.1f} times")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
