"""SLURM's commands, with a timeout. Their output is advisory; the trial's files are authoritative."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

TIMEOUT_SECONDS = 30.0
MAX_NAMES = 100  # of jobs in one command line
MAX_ARRAY_SIZE = 1000  # SLURM's own default, less the element that counting from 0 costs
#: A job in one of these states has ended. squeue is asked for all states, since by default it hides jobs that wait in
#: unusual ones (held after a requeue).
ENDED_STATES = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
)  # fmt: skip
#: Variables that change what SLURM's commands do or say. `squeue` with a user's SQUEUE_STATES would hide our jobs.
OPTIONS = ("SLURM_", "SUBMITIT_", "SQUEUE_", "SBATCH_", "SCANCEL_", "SINFO_", "SRUN_", "SALLOC_", "SCONTROL_")
#: Those that only say on which account, and where, a user's jobs run.
KEPT = ("SLURM_CONF", "SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS", "SBATCH_RESERVATION")


@dataclass(frozen=True)
class CommandResult:
    """Output of a command. `problem` is empty where it succeeded."""

    out: str
    problem: str = ""


@dataclass(frozen=True)
class QueueLine:
    """One job, or element of an array, that SLURM still has."""

    name: str
    job_id: str
    index: int
    state: str
    is_array: bool

    @property
    def full_id(self) -> str:
        """The id as scancel takes it."""
        return f"{self.job_id}_{self.index}" if self.is_array else self.job_id


def ask(*command: str, timeout_s: float = TIMEOUT_SECONDS) -> CommandResult:
    """Runs a command; one that is missing, fails or hangs gives a result with a problem."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, env=clean_environment(),
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return CommandResult("", f"{command[0]} did not answer within {timeout_s:g} s")
    except OSError as error:
        return CommandResult("", f"{command[0]}: {error.strerror}")
    out, errors = (text.decode(errors="replace").strip() for text in (done.stdout, done.stderr))
    return CommandResult(out, f"{command[0]}: {errors or f'exit code {done.returncode}'}" if done.returncode else "")


def queue(names: Sequence[str], *, ended: bool = False) -> tuple[list[QueueLine], str]:
    """Returns (jobs with these names that SLURM still has, problem). Where there is a problem the list is empty.

    `ended`: includes ended jobs that SLURM still remembers (MinJobAge).
    """
    found: list[QueueLine] = []
    for first in range(0, len(names), MAX_NAMES):
        some = ",".join(names[first : first + MAX_NAMES])
        answer = ask(
            "squeue", "--noheader", "--array", "--states=all", f"--name={some}", "--format=%j|%F|%K|%T"
        )  # fmt: skip
        if answer.problem:
            return [], answer.problem
        for line in answer.out.splitlines():
            match = re.fullmatch(r"\s*([^|]+)\|(\d+)\|(\d+|N/A)\|([A-Z_]+)\s*", line)
            if match is None:
                return [], f"squeue: not understood: {line[:80]!r}"
            name, job_id, index, state = match.groups()
            found.append(QueueLine(name, job_id, 0 if index == "N/A" else int(index), state, index != "N/A"))
    return [line for line in found if ended or line.state not in ENDED_STATES], ""


def max_array_size() -> int:
    """Returns the largest size of an array here; a safe default where SLURM does not say."""
    config = ask("scontrol", "show", "config").out
    limits = [re.search(rf"^{name}\s*=\s*(\d+)", config, re.MULTILINE) for name in ("MaxArraySize", "MaxJobCount")]
    return max(1, min([int(match[1]) for match in limits if match] or [MAX_ARRAY_SIZE]))


def cancel_jobs(ids: Sequence[str]) -> str:
    """Cancels jobs and elements of arrays; returns the problem, if there is one."""
    problems = [ask("scancel", *ids[first : first + MAX_NAMES]).problem for first in range(0, len(ids), MAX_NAMES)]
    return next(filter(None, problems), "")


def clean_environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the environment without the variables by which an enclosing job or a user changes SLURM's commands.

    SLURM_* of an enclosing job would bind new jobs to its CPUs; SQUEUE_* of a user would hide jobs.
    """
    given = os.environ if given is None else given
    inside = "SLURM_JOB_ID" in given
    dropped = (*OPTIONS, *(("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES") if inside else ()))
    return {key: value for key, value in given.items() if key in KEPT or not key.startswith(dropped)}


@contextmanager
def scrubbed_environment(given: Collection[str] = ()) -> Iterator[None]:
    """Gives this process the clean environment within a block: submitit passes its own on to sbatch.

    `given`: options of the batch script; sbatch would prefer the variable of that name (SBATCH_PARTITION).
    """
    before = dict(os.environ)
    kept = clean_environment().keys() - {f"SBATCH_{name.upper()}" for name in given}
    try:
        for key in before.keys() - kept:
            del os.environ[key]
        yield
    finally:
        os.environ.update(before)
