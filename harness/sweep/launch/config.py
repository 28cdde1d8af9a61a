"""The `launch:` block of a sweep: where and how trials run."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from harness.nn.config import StrictConfig

Positive = Annotated[int, Field(ge=1)]


def _form(pattern: str, what: str) -> AfterValidator:
    """Text of one form; the message of a fault says which."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} is no {what}")
        return text

    return AfterValidator(check)


Name = Annotated[str, _form(r"[^\s'\"\\]+", "name; one word without quotes")]
Memory = Annotated[str, _form(r"[1-9][0-9]*[MGT]", "amount of memory; a whole number with M, G or T, such as 16G")]
Duration = Annotated[
    str, _form(r"([0-9]{1,3}-)?[0-9]{1,3}:[0-5][0-9]:[0-5][0-9]", "duration; [DAYS-]HH:MM:SS, such as 04:00:00")
]


class Resources(StrictConfig):
    """What a SLURM job asks for. Null: the cluster's default, or what the trials need."""

    partition: Name | None = None
    account: Name | None = None
    qos: Name | None = None
    constraint: Name | None = Field(None, description="features of nodes, e.g. a100")
    nodes: Positive | None = Field(None, description="of a job; more than 1: each trial's processes are spread evenly")
    gpus: Annotated[int, Field(ge=0)] | None = Field(
        None, description="of a job, on each of its nodes; default: one for each process of its trials on cuda"
    )
    cpus: Positive | None = Field(
        None, description="of a job, on each of its nodes; default: the threads of its trials, side by side"
    )
    mem: Memory | None = Field(
        None, description="of a job, on each of its nodes: a whole number with M, G or T (MiB, GiB, TiB), e.g. 16G"
    )
    time: Duration | None = Field(None, description="limit of a job, [DAYS-]HH:MM:SS")
    exclusive: bool | None = Field(None, description="whole nodes, so that no neighbour disturbs timings")
    pack: Positive | None = Field(None, description="trials that share one job; default 1")


class ResourceOverride(Resources):
    """Other resources for the trials that `where` fits."""

    where: Annotated[dict[str, Any], Field(min_length=1)] = Field(
        description="dotted fields of a trial (or `seed`) and their values; all have to hold"
    )


class LaunchConfig(Resources):
    """Where and how trials run. Nothing here can change a result, so nothing here is part of a trial's identity.

    Fields that only SLURM understands are checked, and unused, where trials run elsewhere: one file serves all.
    """

    where: Name = Field(
        "local",
        description="launcher: local, slurm, or that of an installed package",
        json_schema_extra={"examples": ["local", "slurm"]},
    )
    options: dict[str, Any] = Field({}, description="fields of the launcher of an installed package; see its own page")
    time: Duration = Field(
        "01:00:00", description="limit of a job, [DAYS-]HH:MM:SS; a trial goes on from its checkpoint in the next one"
    )
    num_workers: Positive | None = Field(None, description="default: cores / threads of a trial, or GPUs")
    time_limit_minutes: Annotated[float, Field(gt=0)] | None = Field(None, description="of one trial; then: timeout")
    memory_limit_mib: Positive | None = Field(
        None, description="what a worker may map beyond its libraries, in MiB of address space (CPU); then: oom"
    )
    checkpoint_every_steps: Positive = Field(100, description="optimizer steps between checkpoints")
    array_parallelism: Positive | None = Field(None, description="SLURM jobs at once; default: as many as start")
    setup: list[str] = Field([], description="shell lines of a job before anything else, e.g. module load cuda")
    exclude: Name | None = Field(None, description="nodes not to run on, e.g. n1,n[7-9]")
    signal_delay_s: Annotated[int, Field(ge=1, le=65535)] = Field(
        90, description="how long before its end a job is told, in seconds: time to write a checkpoint"
    )
    max_restarts: Annotated[int, Field(ge=0)] = Field(
        100, description="of a job, after preemption, time limit or a lost node; one more, and its trials are failed"
    )
    overrides: list[ResourceOverride] = Field(
        [], description="other resources for some trials; the last that fits wins"
    )

    @field_validator("setup")
    @classmethod
    def _one_line_each(cls, lines: list[str]) -> list[str]:
        if any("\n" in line for line in lines):
            raise ValueError("a line break in a line; write each line as an item of its own")
        return lines


def minutes(duration: str) -> int:
    """Whole minutes of '[DAYS-]HH:MM:SS', rounded up, at least 1 (SLURM counts in minutes)."""
    days, _, clock = duration.rpartition("-")
    hours, minutes_, seconds = (int(part) for part in clock.split(":"))
    total = (int(days or 0) * 24 + hours) * 3600 + minutes_ * 60 + seconds
    return max(1, -(-total // 60))
