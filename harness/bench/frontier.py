"""The largest size of each row within a budget of memory or latency, by bisection; each probe in its own process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from harness.bench.bisection import LargestFit, largest_that_fits
from harness.fields import with_field
from harness.measure.isolated.fresh_process import ask
from harness.measure.isolated.request import MeasurementAnswer, MeasurementRequest, Mode, answer
from harness.record import RecordModel
from harness.registry.proven import mark_of

Over = Literal["num_frames", "crop_size", "batch_size", "temporal_window"]
SPARE_MIB = 1024  # of address space beyond the budget: thread stacks, scratch space


class FrontierOptions(RecordModel):
    """The size that grows, and its budget: exactly one of latency and memory."""

    over: Over
    latency_ms: float | None = None
    memory_mib: int | None = None
    mode: Mode = "inference"
    predicted: bool = Field(False, description="predict memory instead of measuring it; nothing is run")
    batch_size: int | None = Field(None, description="clips; default: 1 for latency, the configuration's for memory")
    most: int = 1024
    timeout_s: float = 120.0
    variant_dirs: list[str] = Field(default_factory=list)

    @property
    def budget(self) -> str:
        """The budget in words."""
        what = "inference" if self.mode == "inference" else "a training step"
        kind = "predicted memory" if self.predicted else "memory"
        limit = f"{self.latency_ms:g} ms" if self.latency_ms is not None else f"{self.memory_mib} MiB of {kind}"
        return f"{limit} for {what}"


class RowFrontier(RecordModel):
    """The largest size of one row, with every probe by value. `largest` None: not even the smallest value fits."""

    label: str
    over: Over
    largest: int | None
    bounded: bool = Field(description="false: the search ended at its own limit, a larger value may fit")
    mark: str = Field("", description="what makes the numbers doubtful: the variant is unproven")
    probes: dict[int, MeasurementAnswer]


def row_frontier(label: str, config: Mapping[str, Any], options: FrontierOptions) -> RowFrontier:
    """Search one row, starting from its own value."""
    start, step, least = _grid(config, options)

    def probe(value: int) -> MeasurementAnswer:
        request = _request(label, config, options, value)
        # a prediction allocates nothing and needs no process of its own
        return answer(request) if request.kind == "predict" else ask(request, timeout_s=options.timeout_s)

    found: LargestFit = largest_that_fits(
        probe, lambda answer: _fits(answer, options), start=start, step=step, least=least, most=options.most
    )
    return RowFrontier(
        label=label, over=options.over, largest=found.largest, bounded=found.bounded, probes=found.probes,
        mark=mark_of(config["variant"]["name"], options.variant_dirs),
    )  # fmt: skip


def _grid(config: Mapping[str, Any], options: FrontierOptions) -> tuple[int, int, int]:
    """(start of the search, step, smallest value)."""
    model = config["model"]
    if options.over == "num_frames":
        return model["num_frames"], model["tubelet_size"], model["tubelet_size"]
    if options.over == "crop_size":
        return model["crop_size"], model["patch_size"], model["patch_size"]
    if options.over == "temporal_window":
        return max(config["variant"]["temporal_window"], 1), 1, 0
    return options.batch_size or 1, 1, 1


def with_value(config: Mapping[str, Any], over: Over, value: int) -> dict[str, Any]:
    """Return the configuration with one field changed; a batch size is not part of it."""
    if over == "batch_size":
        return dict(config)
    return with_field(config, ("variant" if over == "temporal_window" else "model", over), value)


def _request(label: str, config: Mapping[str, Any], options: FrontierOptions, value: int) -> MeasurementRequest:
    kind: Literal["time", "predict", "memory"] = "time"
    if options.memory_mib is not None:
        kind = "predict" if options.predicted else "memory"
    size = options.batch_size or (1 if kind == "time" else None)
    limit = options.memory_mib + SPARE_MIB if kind == "memory" and options.memory_mib is not None else None
    return MeasurementRequest(
        kind=kind,
        configs={label: with_value(config, options.over, value)},
        mode=options.mode,
        batch_size=value if options.over == "batch_size" else size,
        min_samples=10,
        max_seconds=1.0,
        memory_limit_mib=limit if config["train"]["device"] == "cpu" else None,
        variant_dirs=options.variant_dirs,
    )


def _fits(answer: MeasurementAnswer, options: FrontierOptions) -> bool:
    if options.latency_ms is not None:
        return bool(answer.values["median_ms"] <= options.latency_ms)
    return bool(answer.values["peak_bytes"] <= (options.memory_mib or 0) * 2**20)
