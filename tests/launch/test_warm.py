"""Workers that start warm: the same bits as a worker that starts cold, and no worker less when a server fails."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from harness.launch.local import server, starter
from harness.launch.local.starter import Starter, environment_of
from harness.launch.local.warm import ForkedProcess, WarmWorkers
from harness.launch.snapshot import OWN
from harness.launch.tasks import TrialTask
from harness.record import Record
from harness.store import TrialFolder
from harness.worker.processes import subreaping
from tests.e2e import MINI, harness, processes_with, write_sweep


@pytest.fixture(scope="module")
def servers() -> Iterator[WarmWorkers]:
    with subreaping():
        made = WarmWorkers()
        yield made
        made.close()


def ready(servers: WarmWorkers, environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 60
    while servers.is_starting(environment) and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with the run `warm`, of which nothing has run."""
    place = tmp_path_factory.mktemp("pair")
    text = MINI.replace("train: {", "train: {num_threads: 2, ").replace("[0, 1]", "[0]")
    done = harness("sweep", write_sweep(place, text), "--runs", "warm", "--time-budget", "0.01s", cwd=place)
    assert "1 trial open" in done.stdout, done.stdout + done.stderr
    return place


@pytest.fixture(scope="module")
def environment(planned: Path) -> dict[str, str]:
    """Returns the environment of workers that import the run's copy of the code: any other starts itself again."""
    (code,) = planned.glob("warm/mini/code/*")
    return environment_of(code, 2)


@pytest.fixture(scope="module")
def pair(planned: Path, environment: dict[str, str], servers: WarmWorkers) -> tuple[TrialFolder, TrialFolder]:
    """Returns the same trial, run by warm and by cold workers, with two threads."""
    place = planned
    shutil.copytree(place / "warm", place / "cold")
    warm, cold = (TrialFolder(next((place / name).glob("mini/trials/*"))) for name in ("warm", "cold"))
    trial: Any = None
    launcher = Starter(warm=True, code=OWN.path)
    launcher._servers = servers
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(starter, "environment_of", lambda *given: environment)  # pytest changes its own all the time
    for stage in ("train", "measure"):
        task = TrialTask(trial, warm, stage, 2, "cpu")
        ready(servers, environment)
        process = launcher.start(task, (), alone=False)
        assert isinstance(process, ForkedProcess)
        assert process.wait(120) == 0, warm.log_file.read_text()
        launcher.warm = False
        assert launcher.start(TrialTask(trial, cold, stage, 2, "cpu"), (), alone=False).wait(120) == 0
        launcher.warm = True
    monkeypatch.undo()
    return warm, cold


def record(folder: TrialFolder) -> Record:
    found = folder.record()
    assert found is not None
    return found


def test_a_warm_worker_computes_the_same_bits(pair: tuple[TrialFolder, TrialFolder]) -> None:
    warm, cold = map(record, pair)
    assert warm.scores == cold.scores
    assert warm.training.loss_curve == cold.training.loss_curve
    weights = [load_file(folder.checkpoint_file) for folder in pair]
    assert {name: item.tobytes() for name, item in weights[0].items()} == {
        name: item.tobytes() for name, item in weights[1].items()
    }
    assert warm.costs.macs == cold.costs.macs


def test_it_has_the_threads_of_its_trial_and_its_own_memory(pair: tuple[TrialFolder, TrialFolder]) -> None:
    warm, cold = (found.costs for found in map(record, pair))
    assert (warm.environment or {})["num_threads"] == (cold.environment or {})["num_threads"] == 2
    assert warm.memory is not None
    assert cold.memory is not None
    assert warm.memory.train_step_peak_bytes == cold.memory.train_step_peak_bytes
    assert (warm.memory.process_peak_bytes or 0) <= 1.05 * (cold.memory.process_peak_bytes or 0)


def test_exit_codes_signals_and_command_lines_are_those_of_a_worker(
    tmp_path: Path, servers: WarmWorkers, environment: dict[str, str]
) -> None:
    ready(servers, environment)
    missing = str(tmp_path / "missing")
    refused = servers.start(["worker", missing, "--stage", "train"], tmp_path / "log.txt", environment)
    assert refused is not None
    assert refused.wait(30) == 2
    assert "missing: no such folder" in (tmp_path / "log.txt").read_text()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)  # a command that waits for ever
    waiting = servers.start(["sweep", str(fifo)], tmp_path / "log.txt", environment)
    assert waiting is not None
    deadline = time.monotonic() + 30
    while processes_with("harness\0sweep\0", fifo) != [waiting.pid]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert os.getsid(waiting.pid) == waiting.pid
    waiting.kill()
    assert waiting.wait(30) == -signal.SIGKILL


def test_a_server_that_dies_is_replaced_and_then_given_up(tmp_path: Path) -> None:
    (tmp_path / "harness.py").write_text("raise SystemExit(1)")
    made, environment = WarmWorkers(), environment_of(OWN.path, 2) | {"PYTHONPATH": str(tmp_path)}
    ready(made, environment)
    assert made.start(["--version"], tmp_path / "log.txt", environment) is None
    assert not made.is_starting(environment)
    assert made.pids == set()


def test_a_process_with_threads_is_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "num_threads", lambda: 2)
    assert server._fork() == {"refused": "2 threads"}


def test_importing_starts_no_thread_and_no_variant() -> None:
    assert not any(name.startswith(("variants", "harness.variants")) for name in server.MODULES)
    assert environment_of(OWN.path, 2)["OPENBLAS_NUM_THREADS"] == "1"
