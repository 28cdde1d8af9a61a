"""Memory and time of the model of a trial, at the batch sizes of its configuration, on random clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.data import Batch
from harness.measure.machine.preflight import preflight
from harness.measure.memory.tensors import CPU_METHOD, CUDA_METHOD, peak_bytes, process_peak_bytes
from harness.measure.time.energy import joules_per_clip
from harness.measure.time.latency import time_call
from harness.measure.time.noise_probe import PROBE_WORK, NoiseProbe
from harness.record import MeasuredMemory, Timings
from harness.sweep.schema import TrialConfig
from harness.train.loop import training_step
from harness.train.optimizer import build_optimizer


def random_batch(trial: TrialConfig, labels: Mapping[str, int], batch_size: int, device: str) -> Batch:
    """Return random clips uint8 (B, T, 3, H, W) and labels; neither time nor memory depends on their content."""
    model, generator = trial.model, torch.Generator().manual_seed(0)
    shape = (batch_size, model.num_frames, 3, model.crop_size, model.crop_size)
    clips = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    drawn = {name: torch.randint(0, number, (batch_size,), generator=generator) for name, number in labels.items()}
    return Batch(clips.to(device), {name: label.to(device) for name, label in drawn.items()})


def inference_call(model: nn.Module, trial: TrialConfig, batch: Batch) -> Callable[[], object]:
    """Return a call of one forward pass in eval mode, in the precision of the trial."""
    model.eval()

    def call() -> object:
        device = batch.clips.device.type
        bf16 = trial.train.precision == "bf16"
        with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
            return model(batch.clips)

    return call


def train_step_call(model: nn.Module, trial: TrialConfig, batch: Batch) -> Callable[[], object]:
    """Return a call of one training step."""
    optimizer = build_optimizer(model.train(), trial.train)
    return lambda: training_step(model, optimizer, batch, trial.train)


def measure_memory(model: nn.Module, trial: TrialConfig, labels: Mapping[str, int]) -> MeasuredMemory:
    """Measure peak bytes of inference and of a training step after a first one, which allocates optimizer state."""
    device, batch_size = trial.train.device, trial.measure.batch_size
    batch = random_batch(trial, labels, batch_size, device)
    inference = peak_bytes(inference_call(model.eval(), trial, batch), model, device=device)
    model.train()
    optimizer = build_optimizer(model, trial.train)
    training_step(model, optimizer, batch, trial.train)
    step = peak_bytes(lambda: training_step(model, optimizer, batch, trial.train), model, optimizer, device)
    return MeasuredMemory(
        batch_size=batch_size,
        method=CUDA_METHOD if device == "cuda" else CPU_METHOD,
        inference_peak_bytes=inference,
        train_step_peak_bytes=step,
        process_peak_bytes=process_peak_bytes(),
        reserved_peak_bytes=int(torch.cuda.max_memory_reserved()) if device == "cuda" else None,
    )


def measure_timings(
    model: nn.Module,
    trial: TrialConfig,
    labels: Mapping[str, int],
    alone: bool,
    alive: Callable[[str], None] = lambda unit: None,
) -> Timings:
    """Measure latency of one clip, inference and training step of a batch, in milliseconds with all samples.

    `alive` is called after samples, and not while they are taken.
    """
    device, measure = trial.train.device, trial.measure
    state = preflight(trial.train.num_threads, trial.train.device)
    limits: dict[str, Any] = {"min_samples": measure.min_samples, "max_seconds": measure.max_seconds}
    limits |= {"device": device, "alive": alive}
    one = random_batch(trial, labels, 1, device)
    many = random_batch(trial, labels, measure.batch_size, device)
    probe = NoiseProbe() if device == "cpu" else None
    probed = [probe.time_ms()] if probe else []
    latency = time_call(inference_call(model, trial, one), batch_size=1, **limits)
    probed += [probe.time_ms()] if probe else []
    inference = time_call(inference_call(model, trial, many), batch_size=measure.batch_size, **limits)
    probed += [probe.time_ms()] if probe else []
    energy, source = joules_per_clip(inference_call(model, trial, many), measure.batch_size, device)
    step = time_call(train_step_call(model, trial, many), batch_size=measure.batch_size, **limits)
    probed += [probe.time_ms()] if probe else []
    return Timings(
        latency=latency,
        inference=inference,
        train_step=step,
        alone=alone,
        preflight=state,
        noise_probe_ms=float(np.median(probed)) if probed else None,
        noise_probe_work=PROBE_WORK if probed else None,
        energy_j_per_clip=energy,
        energy_source=source,
    )
