"""Options of a comparison in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from harness.measure.isolated.request import MeasurementRequest, Mode
from harness.record import RecordModel


class BenchOptions(RecordModel):
    """Options of a comparison."""

    mode: Mode = "inference"
    batch_size: int | None = None
    num_processes: int = 5
    num_blocks: int = 10
    visit_seconds: float = 0.05
    compile: str | None = None
    seed: int = 0
    timeout_s: float = 600.0
    patience_s: float = Field(60.0, description="total waiting time for a quiet machine before processes start")
    variant_dirs: list[str] = Field(default_factory=list)

    def request(self, configs: Mapping[str, Mapping[str, Any]], repeat: int, compile_cache: str) -> MeasurementRequest:
        """The request to one process."""
        shared = self.model_dump(
            include={"mode", "batch_size", "num_blocks", "visit_seconds", "compile", "variant_dirs"}
        )
        plain = {label: dict(config) for label, config in configs.items()}
        return MeasurementRequest(
            kind="compare", configs=plain, seed=self.seed + repeat, compile_cache=compile_cache, **shared
        )  # fmt: skip
