"""SLURM's commands, with a timeout. Their output is advisory; the trial's files are authoritative."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, cast

from harness.launch.base import asking
from harness.text.clean import one_line

TIMEOUT_SECONDS = 30.0
END_SECONDS = 0.3  # between SIGTERM and SIGKILL
MAX_BYTES = 64 * 2**20  # of a command's output: a queue of a million jobs
MAX_NAMES = 100  # of jobs in one command line
MAX_ARRAY_SIZE = 1000  # SLURM's own default, less the element that counting from 0 costs
#: A job in one of these states has ended. squeue is asked for all states, since by default it hides jobs that wait in
#: unusual ones (held after a requeue).
ENDED_STATES = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
)  # fmt: skip
#: text on standard error that makes an answer incomplete although the exit code is 0; any error makes an empty one so
INCOMPLETE = re.compile(r"slurm_load_jobs|unable to|timed? ?out|connection|communication|socket", re.IGNORECASE)
#: of one line of squeue; the reason may hold any character, and older formats have none
QUEUE_FORMAT = "%j|%F|%K|%T|%r"
QUEUE_LINE = re.compile(r"\s*([^|]+)\|(\d+)\|(\d+|N/A)\|([A-Z_]+)\s*(?:\|(.*))?", re.ASCII)
#: Variables that change what SLURM's commands do or say. `squeue` with a user's SQUEUE_STATES would hide our jobs.
OPTIONS = ("SLURM_", "SUBMITIT_", "SQUEUE_", "SBATCH_", "SCANCEL_", "SINFO_", "SRUN_", "SALLOC_", "SCONTROL_")
#: Those that only say on which account, and where, a user's jobs run.
KEPT = ("SLURM_CONF", "SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS", "SBATCH_RESERVATION")


@dataclass(frozen=True)
class CommandResult:
    """Output of a command, and what it wrote to standard error. `problem` is empty where it succeeded."""

    out: str
    problem: str = ""
    errors: str = ""


@dataclass(frozen=True)
class QueueLine:
    """One job, or element of an array, that SLURM still has."""

    name: str
    job_id: str
    index: int
    state: str
    is_array: bool
    reason: str = ""

    @property
    def has_ended(self) -> bool:
        """Returns whether SLURM only remembers the job."""
        return self.state in ENDED_STATES

    @property
    def words(self) -> str:
        """Returns what SLURM says of the job: 'PENDING, PartitionConfig'."""
        return self.state if self.reason in ("", "None") else one_line(f"{self.state}, {self.reason}")

    @property
    def full_id(self) -> str:
        """The id as scancel takes it."""
        return f"{self.job_id}_{self.index}" if self.is_array else self.job_id


def ask(*command: str, timeout_s: float = TIMEOUT_SECONDS) -> CommandResult:
    """Runs a command; one that is missing, fails or hangs gives a result with a problem.

    It takes no longer than the deadline of the calling command allows, see `answers_within`.
    """
    try:
        with asking(timeout_s) as allowed_s:
            code, out, errors = _run(command, allowed_s)
    except TimeoutError:
        return CommandResult("", f"{command[0]} did not answer within {allowed_s:.2g} s")
    except OSError as error:
        return CommandResult("", f"{command[0]}: {error.strerror}")
    if len(out) + len(errors) > MAX_BYTES:
        return CommandResult("", f"{command[0]}: its output does not end")
    problem = f"{command[0]}: {one_line(errors) or f'exit code {code}'}" if code else ""
    return CommandResult(out, problem, errors)


def _run(command: Sequence[str], timeout_s: float) -> tuple[int, str, str]:
    """Returns exit code, output and errors of a command; ends it, and what it started, where they grow too large.

    Raises: TimeoutError after so many seconds, OSError where it cannot be started.
    """
    deadline = time.monotonic() + timeout_s
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(),
        process_group=0,
    ) as process:  # fmt: skip
        try:
            texts = _read(process, deadline)
            code = 0 if sum(map(len, texts)) > MAX_BYTES else process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error
        finally:
            if process.poll() is None:
                _end(process)
    out, errors = (text.decode(errors="replace").strip() for text in texts)
    return code, out, errors


def _read(process: subprocess.Popen[bytes], deadline: float) -> list[bytes]:
    """Returns what a process writes to its two pipes, up to a limit. Raises: TimeoutError."""
    texts = {stream: bytearray() for stream in (process.stdout, process.stderr) if stream is not None}
    with selectors.DefaultSelector() as selector:
        for stream in texts:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() and sum(map(len, texts.values())) <= MAX_BYTES:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                stream = cast(IO[bytes], key.fileobj)
                piece = os.read(stream.fileno(), 1 << 16)
                texts[stream] += piece
                if not piece:
                    selector.unregister(stream)
    return [bytes(text) for text in texts.values()]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
            return


def queue(names: Sequence[str], *, ended: bool = False) -> tuple[list[QueueLine], str]:
    """Returns (jobs with these names that SLURM still has, problem). Where there is a problem the list is empty.

    `ended`: includes ended jobs that SLURM still remembers (MinJobAge).
    """
    found: list[QueueLine] = []
    for first in range(0, len(names), MAX_NAMES):
        lines, problem = _squeue("--name", names[first : first + MAX_NAMES])
        if problem:
            return [], problem
        found += lines
    return [line for line in found if ended or not line.has_ended], ""


def queue_by_id(job_ids: Collection[str]) -> list[QueueLine]:
    """Returns the jobs with these ids that SLURM surely has; none where it does not answer, or knows none of the ids.

    It may have given an id again, to a job with another name.
    """
    ids = sorted(job_ids)
    found: list[QueueLine] = []
    for first in range(0, len(ids), MAX_NAMES):
        lines, problem = _squeue("--jobs", ids[first : first + MAX_NAMES])
        if problem:
            continue
        found += [line for line in lines if not line.has_ended]
    return found


def _squeue(option: str, values: Sequence[str]) -> tuple[list[QueueLine], str]:
    """Returns the lines of squeue for some names or ids, and why they cannot be used."""
    wanted = f"{option}={','.join(values)}"
    answer = ask("squeue", "--noheader", "--array", "--states=all", wanted, f"--format={QUEUE_FORMAT}")
    if answer.problem:
        return [], answer.problem
    if INCOMPLETE.search(answer.errors) or (not answer.out and "error" in answer.errors.lower()):
        return [], f"squeue: {one_line(answer.errors) or 'no answer'}"
    found: list[QueueLine] = []
    for line in answer.out.splitlines():
        match = QUEUE_LINE.fullmatch(line)
        if match is None:
            return [], f"squeue: not understood: {line[:80]!r}"
        name, job_id, index, state, reason = match.groups()
        element = 0 if index == "N/A" else int(index[:9])
        found.append(QueueLine(name, job_id, element, state, index != "N/A", (reason or "").strip()))
    return found, ""


def max_array_size() -> int:
    """Returns the largest size of an array here; a safe default where SLURM does not say."""
    config = ask("scontrol", "show", "config").out
    limits = [
        re.search(rf"^{name}\s*=\s*(\d{{1,9}})\b", config, re.MULTILINE) for name in ("MaxArraySize", "MaxJobCount")
    ]
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
