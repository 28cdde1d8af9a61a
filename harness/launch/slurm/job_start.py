"""First program of a SLURM job. Standard library only, so that it starts fast and cannot fail on an import.

    python -P -m harness.launch.slurm.job_start ARGUMENTS      python ARGUMENTS, with SIGUSR2 blocked

SLURM announces the end of a job by SIGUSR2: to every process of the job, at any moment, also while Python still
imports. The signal is blocked from the first process on, through every exec and spawn, until the process has a handler
for it; so it is never lost and kills nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Any

JOB = "harness.launch.slurm.job"
POLL_SECONDS = 0.2
RANK_FAILURE_SECONDS = 15.0  # for rank 0 to write into the trial's status that another rank failed

_child: subprocess.Popen[bytes] | None = None


class JobEntry:
    """The callable that submitit pickles; it holds the folder of a submission and nothing else."""

    def __init__(self, folder: str):
        self.folder = folder

    def __call__(self) -> None:
        """Runs this job's trials in a child process; exits with its exit code."""
        global _child
        index = os.environ.get("SLURM_ARRAY_TASK_ID", "0")
        command = [sys.executable, "-P", "-m", JOB, self.folder, index, "--parent", str(os.getpid())]
        _child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # inherits SIGUSR2 blocked
        signal.signal(signal.SIGTERM, _pass_on)  # submitit's own handler only notes it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})  # from here on submitit's handler has it
        while _child.poll() is None:
            time.sleep(POLL_SECONDS)
        if _child.returncode:
            if rank := int(os.environ.get("SLURM_PROCID", "0")):
                print(f"rank {rank} on {os.uname().nodename} ended with exit code {_child.returncode}", flush=True)
                time.sleep(RANK_FAILURE_SECONDS)  # exiting with an error ends all tasks of the job at once
            sys.exit(_child.returncode if _child.returncode > 0 else 128 - _child.returncode)

    def checkpoint(self) -> Any:
        """Waits until the child has saved everything; submitit calls it on SIGUSR2 and requeues the job afterwards."""
        from submitit.helpers import DelayedSubmission

        if _child is not None:
            _send(signal.SIGUSR2)
            # not wait(): this may run inside a poll of the same child, which holds its lock or has just reaped it
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, _child.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(self)


def _send(number: int) -> None:
    if _child is not None:
        with suppress(ProcessLookupError):
            os.kill(_child.pid, number)


def _pass_on(number: int, frame: FrameType | None) -> None:
    _send(number)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    os.execv(sys.executable, [sys.executable, "-P", *sys.argv[1:]])
