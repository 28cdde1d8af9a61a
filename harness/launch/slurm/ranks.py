"""Trials whose processes are the tasks of one SLURM job on several nodes: their ranks and their rendezvous file."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.launch.slurm.logs import job_folder
from harness.launch.slurm.submission import Submission
from harness.launch.tasks import TrialTask
from harness.store import Store
from harness.worker.signals import EXIT_DONE, STOP_SIGNALS


def own_rank() -> int:
    """Returns the number of this task in the job. SLURM counts from 0, node by node."""
    return int(os.environ.get("SLURM_PROCID", "0"))


def meeting(store: Store, noted: Submission, index: int, restart: int) -> Path:
    """Returns the rendezvous file of this attempt; no other attempt uses the name."""
    folder = job_folder(store, noted.token) / "meeting"
    folder.mkdir(exist_ok=True)
    return folder / f"{index}.{os.environ.get('SLURM_JOB_ID', '')}.{restart}"


def arguments(rank: int, file: Path) -> list[str]:
    """Returns the arguments that give a worker its rank."""
    return ["--rank", str(rank), "--rendezvous", str(file)]


def follow(tasks: Sequence[TrialTask], file: Path) -> int:
    """Becomes the worker of a rank other than 0; returns only where nothing is left to train."""
    task = next((task for task in tasks if task.stage == "train"), None)
    if task is None:
        return EXIT_DONE
    environment = dict(os.environ)
    environment |= {name: str(task.num_threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment["PYTHONUNBUFFERED"] = "1"
    command = [sys.executable, "-m", "harness", "worker", str(task.folder.path), "--stage", "train"]
    command += [*arguments(own_rank(), file), "--parent", str(os.getppid())]
    log = os.open(task.folder.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    sys.stdout.flush()
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # until the worker has a handler
    os.execve(sys.executable, command, environment)
