"""The number of trials that the pool runs at once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import UserError
from harness.launch.local import pool as local
from harness.launch.local import starter
from harness.launch.local.pool import LocalPool, Running
from harness.launch.tasks import TrialTask
from harness.store import TrialFolder
from harness.sweep.launch.config import LaunchConfig


def task(num_threads: int = 1, device: str = "cpu", stage: str = "train", num_processes: int = 1) -> TrialTask:
    trial: Any = SimpleNamespace(trial_id="x")
    return TrialTask(trial, TrialFolder(Path("x")), stage, num_threads, device, num_processes)


def pool(
    cores: int, running: list[TrialTask], num_workers: int | None = None, gpus: list[tuple[int, ...]] | None = None
) -> LocalPool:
    made = LocalPool(LaunchConfig(), watcher=None, num_workers=num_workers)  # type: ignore[arg-type]
    made.cores = cores
    process: Any = None
    made.running = [
        Running(item, process, taken) for item, taken in zip(running, gpus or [()] * len(running), strict=True)
    ]
    return made


@pytest.mark.parametrize(
    ("cores", "running", "wanted", "fits"),
    [
        (2, [1], 1, True),
        (2, [1, 1], 1, False),
        (2, [2], 1, False),
        (2, [1], 2, False),
        (4, [2], 2, True),
        (2, [], 8, True),  # one trial always runs, however many threads it asks for
    ],
)
def test_threads_never_exceed_cores(cores: int, running: list[int], wanted: int, fits: bool) -> None:
    assert pool(cores, [task(number) for number in running])._fits(task(wanted), alone=False) is fits


def test_a_limit_on_workers_holds() -> None:
    assert not pool(64, [task(), task()], num_workers=2)._fits(task(), alone=False)


def test_timing_runs_alone() -> None:
    assert not pool(64, [task()])._fits(task(stage="measure"), alone=True)
    assert pool(64, [])._fits(task(stage="measure"), alone=True)


def test_one_trial_per_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "visible_gpus", lambda: [0, 1])
    one_runs = pool(64, [task(device="cuda")], gpus=[(0,)])
    assert one_runs._free_gpus() == [1]
    assert one_runs._fits(task(device="cuda"), alone=False)
    assert not pool(64, [task(device="cuda")] * 2, gpus=[(0,), (1,)])._fits(task(device="cuda"), alone=False)


def test_each_process_of_a_trial_gets_cores_and_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool(5, [task(num_processes=3)])._fits(task(num_threads=2), alone=False)
    assert not pool(4, [task(num_processes=3)])._fits(task(num_threads=2), alone=False)
    monkeypatch.setattr(local, "visible_gpus", lambda: [0, 1, 2])
    pair = task(device="cuda", num_processes=2)
    assert pool(1, [task(device="cuda")], gpus=[(1,)])._fits(pair, alone=False)
    assert not pool(1, [pair], gpus=[(0, 1)])._fits(pair, alone=False)
    with pytest.raises(UserError, match="4 given, each with a GPU; torch sees 3"):
        pool(1, []).run([task(device="cuda", num_processes=4)])


def test_workers_are_given_gpus_that_the_launcher_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert starter._gpu_name(1) == "5"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert starter._gpu_name(1) == "1"
