"""Defines two small variants that need no torch, and plans sweeps with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.errors import UserError, did_you_mean
from harness.nn.config import StrictConfig
from harness.nn.geometry import TrunkGeometry
from harness.sweep.plan import Plan, plan_sweep


class FakeVariant:
    """The part of a variant that planning uses."""

    Config: Any = StrictConfig
    default_readout = "mean_frames"
    cannot_read: dict[str, str] = {}
    class_token_out = "frame"

    def __init__(self, config: Any, trunk: TrunkGeometry):
        self.config, self.trunk = config, trunk

    def validate(self) -> Iterator[tuple[str, str]]:
        yield from ()


class WindowConfig(StrictConfig):
    reach: Annotated[int, Field(ge=0)] = 1
    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    ends: Literal["zero", "circular"] = "zero"
    layers: Literal["all", "odd"] | list[Annotated[int, Field(ge=0)]] = "all"
    outer_only: bool = False


class Window(FakeVariant):
    Config = WindowConfig

    def validate(self) -> Iterator[tuple[str, str]]:
        if self.config.reach > self.trunk.head_dim:
            yield "reach", f"a head has {self.trunk.head_dim} channels; at most that"
        if self.trunk.global_tokens.summary and self.config.outer_only:
            yield "global_tokens.summary", "outer_only leaves no room for summaries; write summary: 0"


class Whole(FakeVariant):
    default_readout = "class_token"
    cannot_read: dict[str, str] = {}
    class_token_out = "clip"


VARIANTS: dict[str, type[FakeVariant]] = {"window": Window, "whole": Whole}


def load_fake(name: str) -> Any:
    if name not in VARIANTS:
        raise UserError(f"no variant named {name}.{did_you_mean(name, list(VARIANTS))}")
    return VARIANTS[name]


def plan_file(path: Path, *overrides: str, device: str = "cpu") -> Plan:
    return plan_sweep(
        path,
        overrides,
        data_identity=lambda data: f"{data.name} 1",
        device=lambda: device,
        load_variant=load_fake,
    )
