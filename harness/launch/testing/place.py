"""What `harness.launch.testing` works with: a folder with a sweep, commands in it, and the results of its run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from harness.launch.tasks import state_of
from harness.store import Store, TrialFolder

NAME = "suite"
Results = dict[str, Any]


def results_of(run: Path) -> Results:
    """Returns what no interruption may change: accuracies and the last loss, by trial id."""
    records = {path.parent.name: json.loads(path.read_text()) for path in run.glob("trials/*/record.json")}
    return {key: (value["scores"], value["training"]["final_loss"]) for key, value in records.items()}


@cache
def local_results(text: str) -> Results:
    """Returns the results of a sweep that the local launcher runs without interruption."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), text, dict(os.environ), 300)
        done = place.harness("sweep", place.file, "--launch", "local", "--no-report")
        assert done.returncode == 0, done.stdout + done.stderr
        return results_of(place.store.path)


@contextmanager
def paused(pids: Sequence[int | None]) -> Iterator[None]:
    """Suspends processes within a block, so that what they do cannot end too early."""
    found = [pid for pid in pids if pid is not None]
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in found:
            os.kill(pid, signal.SIGCONT)


class Place:
    """A folder with the sweep file and its run, and the command line in it."""

    def __init__(self, folder: Path, text: str, environment: Mapping[str, str], timeout_s: float):
        self.folder, self.timeout_s = folder, timeout_s
        self.environment = {**environment, "OMP_NUM_THREADS": "1"}
        self.file = folder / f"{NAME}.yaml"
        self.file.write_text(text, encoding="utf-8")
        self.store = Store(folder / "runs" / NAME)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Starts a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *map(str, arguments)], cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def harness(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "harness", *map(str, arguments)], cwd=self.folder, env=self.environment, text=True,
            capture_output=True, timeout=self.timeout_s, check=False,
        )  # fmt: skip

    def ok(self, *arguments: str | Path) -> str:
        """Returns the output of a command that has to succeed."""
        done = self.harness(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def wait_for(self, condition: Callable[[list[TrialFolder]], bool]) -> None:
        """Waits until something holds for the trials. Raises: AssertionError after the timeout, with all logs."""
        deadline = time.monotonic() + self.timeout_s
        while not condition(self.store.trials()):
            assert time.monotonic() < deadline, self.story()
            time.sleep(0.1)

    def states(self) -> list[str]:
        """Returns the status of every trial, sorted."""
        return sorted(state_of(folder).status for folder in self.store.trials())

    def story(self) -> str:
        """Returns everything that helps to understand a failure."""
        logs = [path for path in self.store.path.rglob("*") if path.suffix in (".out", ".log", ".txt")]
        return "\n".join([str(self.states()), *(f"--- {path}\n{path.read_text()[-2000:]}" for path in logs)])
