"""The `launch:` block of a sweep: where and how trials run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.nn.config import StrictConfig

Positive = Annotated[int, Field(ge=1)]


class LaunchConfig(StrictConfig):
    """Where and how trials run. Nothing here can change a result, so nothing here is part of a trial's identity."""

    where: Literal["local"] = "local"
    num_workers: Positive | None = Field(None, description="default: cores / threads of a trial, or GPUs")
    time_limit_minutes: Annotated[float, Field(gt=0)] | None = Field(None, description="of one trial; then: timeout")
    memory_limit_mib: Positive | None = Field(
        None, description="what a worker may map beyond its libraries, in MiB of address space (CPU); then: oom"
    )
    checkpoint_every_steps: Positive = Field(100, description="optimizer steps between checkpoints")
