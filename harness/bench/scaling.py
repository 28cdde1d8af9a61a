"""A cost of one configuration at several sizes: multiply-accumulates, peak memory or latency over T, S or t_w.

Peak memory is that of a training step, predicted or measured in its own process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError

from harness.data import open_split
from harness.errors import Fault, UserError
from harness.fields import with_field
from harness.measure.costs import random_batch
from harness.measure.count.macs import macs_per_view
from harness.measure.count.planned import planned_costs
from harness.measure.isolated.fresh_process import ask
from harness.measure.isolated.request import MeasurementRequest
from harness.measure.memory.predicted import predict_memory
from harness.measure.time.latency import time_call
from harness.model.video_transformer import VideoTransformer, make_variant
from harness.record import Timing
from harness.sweep.cross_checks import model_problems, readout_problems, variant_problems
from harness.sweep.schema import TrialConfig

Measure = Literal["macs", "memory", "memory-measured", "latency"]
#: axis -> block and field of the configuration
AXES = {
    "num_frames": ("model", "num_frames"),
    "crop_size": ("model", "crop_size"),
    "temporal_window": ("variant", "temporal_window"),
}
#: measure -> name of the quantity, with its unit
QUANTITIES = {
    "macs": "macs_per_view",
    "memory": "predicted_train_step_peak_bytes",
    "memory-measured": "train_step_peak_bytes",
    "latency": "latency_ms",
}


@dataclass(frozen=True)
class ScalingPoint:
    """One size with its cost; `mark` is a warning, or empty."""

    size: int
    cost: float
    mark: str = ""
    samples: tuple[float, ...] = ()


def at_size(config: Mapping[str, Any], axis: str, size: int, variant_dirs: Sequence[Path] = ()) -> dict[str, Any]:
    """Return the configuration with the axis set to a size.

    Raises:
        UserError: the variant has no such field, or nothing can be built at this size; holds all faults.
    """
    block, name = AXES[axis]
    if name not in config[block]:
        raise UserError(f"--over {axis}: variant {config['variant']['name']} has no such field.")
    changed = with_field(config, AXES[axis], size)
    try:
        trial = TrialConfig(**changed)
        variant = make_variant(trial.variant, trial.model, trial.global_tokens, variant_dirs)
    except ValidationError as error:
        raise UserError(Fault(f"--values {size}", axis, item["msg"]) for item in error.errors()) from error
    problems = list(model_problems(trial.model)) or [
        *variant_problems(variant.validate(), ("model", "global_tokens")),
        *readout_problems(trial.readout, trial.model, trial.variant["name"], variant),
    ]
    if problems:
        raise UserError(Fault(f"--values {size}", problem.fields[0], problem.message) for problem in problems)
    return changed


def measure_point(
    config: Mapping[str, Any], size: int, measure: Measure, variant_dirs: Sequence[Path] = ()
) -> ScalingPoint:
    """Return the cost of a configuration that has `size`, as in `QUANTITIES`; measured on this machine."""
    if measure == "macs":
        macs = planned_costs(config, variant_dirs).macs
        return ScalingPoint(size, macs.macs_per_view, "" if macs.status == "exact" else macs.status.replace("_", " "))
    trial = TrialConfig(**config)
    labels = open_split(trial.data, trial.model, "test", trial.seed).labels
    if measure == "memory":
        return ScalingPoint(size, predict_memory(trial, labels, variant_dirs=variant_dirs).train_step_peak_bytes)
    if measure == "memory-measured":
        return _measured_memory(trial, size, variant_dirs)
    torch.set_num_threads(trial.train.num_threads)
    torch.manual_seed(trial.seed)
    model = VideoTransformer.of(trial, labels, variant_dirs).to(trial.train.device)
    timing = _latency(model, trial, labels)
    return ScalingPoint(size, timing.median_ms, "unstable" if timing.unstable else "", tuple(timing.samples_ms))


def _measured_memory(trial: TrialConfig, size: int, variant_dirs: Sequence[Path]) -> ScalingPoint:
    """Measure the peak memory of a training step in its own process.

    Raises:
        UserError: the process ended without an answer, e.g. out of memory.
    """
    folders = [str(folder.resolve()) for folder in variant_dirs]
    request = MeasurementRequest(
        kind="memory", configs={"row": trial.model_dump()}, mode="train_step", variant_dirs=folders
    )
    found = ask(request)
    if found.status != "done":
        asked = f", asked for {found.requested_bytes} bytes" if found.requested_bytes else ""
        message = f"the training step ended with {found.status}: {found.message}{asked}"
        raise UserError(
            [Fault(f"--values {size}", "memory-measured", f"{message}. Give smaller values, or predict it")]
        )
    return ScalingPoint(size, found.values["peak_bytes"])


def _latency(model: VideoTransformer, trial: TrialConfig, labels: Mapping[str, int]) -> Timing:
    device, limits = trial.train.device, trial.measure
    clips, bf16 = random_batch(trial, labels, 1, device).clips, trial.train.precision == "bf16"
    with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
        return time_call(
            lambda: model.eval()(clips), batch_size=1, min_samples=limits.min_samples,
            max_seconds=limits.max_seconds, device=device,
        )  # fmt: skip


def closed_form(config: Mapping[str, Any], variant_dirs: Sequence[Path] = ()) -> int:
    """Return the multiply-accumulates of one view in closed form (counted for drafts), for searches over many sizes."""
    trial = TrialConfig(**config)
    labels = open_split(trial.data, trial.model, "test", trial.seed).labels
    with torch.device("meta"):
        model = VideoTransformer.of(trial, labels, variant_dirs)
    return macs_per_view(model, trial.model)  # not on meta: a closed form may sum a mask
