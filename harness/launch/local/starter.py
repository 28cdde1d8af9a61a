"""Starts worker processes on this machine: forked from a warm server where that is possible, else by exec."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.launch import snapshot
from harness.launch.local.warm import WarmWorkers
from harness.launch.local.workers import WorkerProcess
from harness.launch.tasks import TrialTask
from harness.worker.processes import POOL_VARIABLE
from harness.worker.signals import blocked_stop_signals


def environment_of(code: Path, num_threads: int, gpus: Sequence[int] = ()) -> dict[str, str]:
    """Returns the environment of a worker that imports this code.

    torch has the trial's threads; OpenBLAS, which numpy and scipy bring, starts none of its own at import.
    """
    environment = {"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0", **os.environ, **snapshot.environment(code)}
    environment |= {name: str(num_threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment["PYTHONUNBUFFERED"] = "1"
    environment["CUDA_VISIBLE_DEVICES"] = ",".join(_gpu_name(gpu) for gpu in gpus)
    environment[POOL_VARIABLE] = str(os.getpid())
    return environment


def _gpu_name(index: int) -> str:
    """Returns the worker's CUDA_VISIBLE_DEVICES for the index-th GPU that this process may see."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return given.split(",")[index].strip() if given else str(index)


class Starter:
    """Starts workers, each in a session of its own: the terminal's signals reach the pool alone, which passes them on.

    `code`: what workers import. `leading`: more arguments of a training worker whose other ranks start elsewhere.
    `warm`: workers on CPU that are a single process may be forked.
    """

    def __init__(self, warm: bool, code: Path) -> None:
        self.leading: list[str] = []
        self.warm = warm
        self.code = code
        self._servers = WarmWorkers()

    @property
    def pids(self) -> set[int]:
        """Returns the process ids of what runs here and is no worker."""
        return self._servers.pids

    def is_starting(self, task: TrialTask) -> bool:
        """Returns whether the task had better wait for a server that is still importing."""
        return self._may_fork(task) and self._servers.is_starting(environment_of(self.code, task.num_threads))

    def start(self, task: TrialTask, gpus: Sequence[int], alone: bool) -> WorkerProcess:
        """Starts the worker of a task. Raises: OSError."""
        arguments = ["worker", str(task.folder.path), "--stage", task.stage]
        arguments += self.leading if task.stage == "train" else []
        arguments += ["--parent", str(os.getpid()), *(["--alone"] if alone else [])]
        environment = environment_of(self.code, task.num_threads, gpus)
        with open(task.folder.log_file, "ab") as log:
            if self._may_fork(task):
                forked = self._servers.start(arguments, task.folder.log_file, environment)
                if forked is not None:
                    return forked
            with blocked_stop_signals():
                return subprocess.Popen(
                    [sys.executable, "-m", "harness", *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=environment, start_new_session=True,
                )  # fmt: skip

    def _may_fork(self, task: TrialTask) -> bool:
        return self.warm and task.device == "cpu" and task.num_processes == 1 and not self.leading

    def close(self) -> None:
        """Ends the servers."""
        self._servers.close()
