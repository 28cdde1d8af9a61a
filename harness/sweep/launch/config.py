"""Configuration of the `launch:` block of a sweep: where and how trials run."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from harness.nn.config import Positive, StrictConfig


def _form(pattern: str, what: str) -> AfterValidator:
    """Returns a validator that accepts text matching a pattern; `what` describes the pattern in the message."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} is not a valid {what}")
        return text

    return AfterValidator(check)


SingleWord = Annotated[str, _form(r"[^\s'\"\\]+", "name; one word without quotes")]
MemoryAmount = Annotated[
    str, _form(r"[1-9][0-9]*[MGT]", "amount of memory; a whole number with M, G or T, such as 16G")
]
Duration = Annotated[
    str, _form(r"([0-9]{1,3}-)?[0-9]{1,3}:[0-5][0-9]:[0-5][0-9]", "duration; [DAYS-]HH:MM:SS, such as 04:00:00")
]


class Resources(StrictConfig):
    """Resources that a SLURM job requests. Null: the cluster's default, or what its trials need."""

    partition: SingleWord | None = None
    account: SingleWord | None = None
    qos: SingleWord | None = None
    constraint: SingleWord | None = Field(None, description="required features of nodes, e.g. a100")
    nodes: Positive | None = Field(
        None, description="nodes of a job; more than 1: each trial's processes are spread evenly"
    )
    gpus: Annotated[int, Field(ge=0)] | None = Field(
        None, description="GPUs of a job on each node; default: one for each process of its trials on cuda"
    )
    cpus: Positive | None = Field(
        None, description="CPUs of a job on each node; default: the threads of its trials that run at once"
    )
    mem: MemoryAmount | None = Field(
        None, description="memory of a job on each node: a whole number with M, G or T (MiB, GiB, TiB), e.g. 16G"
    )
    time: Duration | None = Field(None, description="time limit of a job, [DAYS-]HH:MM:SS")
    exclusive: bool | None = Field(None, description="allocate whole nodes, so that other jobs do not disturb timings")
    pack: Positive | None = Field(None, description="trials that share one job; default 1")


class ResourceOverride(Resources):
    """Different resources for the trials that `where` matches."""

    where: Annotated[dict[str, Any], Field(min_length=1)] = Field(
        description="dotted fields of a trial (or `seed`) and their values; all must match"
    )


class LaunchConfig(Resources):
    """Where and how trials run. No field changes a result, so none is part of a trial's identity.

    Fields for SLURM are checked but ignored where trials run elsewhere, so that one file serves all launchers.
    """

    where: SingleWord = Field(
        "local",
        description="name of the launcher: local, slurm, or one of an installed package",
        json_schema_extra={"examples": ["local", "slurm"]},
    )
    options: dict[str, dict[str, Any]] = Field(
        {}, description="fields of launchers of installed packages, by launcher: {ssh: {hosts: [a, b]}}"
    )
    time: Duration = Field(
        "01:00:00", description="time limit of a job, [DAYS-]HH:MM:SS; the next job resumes a trial from its checkpoint"
    )
    num_workers: Positive | None = Field(
        None, description="local trials at once; default: cores / threads of a trial, or the number of GPUs"
    )
    time_limit_minutes: Annotated[float, Field(gt=0)] | None = Field(
        None, description="time limit of one trial; beyond it, its status is timeout"
    )
    stall_minutes: Annotated[float, Field(gt=0)] | None = Field(
        10.0,
        description="longest time without progress of a trial (a step, a batch of an evaluation, a clip, a sample), or "
        "200 times its median if that is longer; beyond it, the status is timeout. Null: no limit",
    )
    warm_workers: bool = Field(
        True, description="fork local workers on CPU from a process that has imported torch; false: start each by exec"
    )
    memory_limit_mib: Positive | None = Field(
        None, description="CPU address space of a worker beyond its libraries, in MiB; beyond it, the status is oom"
    )
    checkpoint_every_steps: Positive = Field(100, description="optimizer steps between checkpoints")
    array_parallelism: Positive | None = Field(None, description="SLURM jobs at once; default: no limit")
    setup: list[str] = Field([], description="shell lines that a job runs first, e.g. module load cuda")
    exclude: SingleWord | None = Field(None, description="nodes to exclude, e.g. n1,n[7-9]")
    signal_delay_s: Annotated[int, Field(ge=1, le=65535)] = Field(
        90, description="seconds between the warning signal and the end of a job: time to write a checkpoint"
    )
    max_restarts: Annotated[int, Field(ge=0)] = Field(
        100,
        description="restarts of a job after preemption, time limit or a lost node; then its trials fail",
    )
    max_resubmissions: Annotated[int, Field(ge=0)] = Field(
        3,
        description="jobs submitted again for a trial that none of them ever started; then the trial is invalid",
    )
    overrides: list[ResourceOverride] = Field(
        [], description="different resources for some trials; the last match wins"
    )

    @field_validator("setup")
    @classmethod
    def _one_line_each(cls, lines: list[str]) -> list[str]:
        if any("\n" in line for line in lines):
            raise ValueError("an item contains a line break; write each line as a separate item")
        return lines


def minutes(duration: str) -> int:
    """Converts '[DAYS-]HH:MM:SS' to whole minutes, rounded up, at least 1 (SLURM counts in minutes)."""
    days, _, clock = duration.rpartition("-")
    hours, minutes_, seconds = (int(part) for part in clock.split(":"))
    total = (int(days or 0) * 24 + hours) * 3600 + minutes_ * 60 + seconds
    return max(1, -(-total // 60))
