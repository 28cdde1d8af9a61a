"""Peak memory of inference and of a training step in bytes, predicted without allocating it and without a GPU.

The step runs on fake tensors, which have shapes, types and lifetimes but no content, and every storage is tracked from
allocation to release. Parameters, gradients, optimizer state and the batch are known; everything else that is alive at
the end of the forward pass is activations, and the rest of the peak is temporary.

Not included: scratch space inside kernels, rounding and fragmentation of the allocator, libraries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.data import Batch
from harness.measure.memory.tensors import StorageTracker
from harness.model.video_transformer import VideoTransformer
from harness.record import PredictedMemory
from harness.sweep.schema import TrainConfig, TrialConfig
from harness.train.loop import loss_of
from harness.train.optimizer import build_optimizer


def predict_memory(
    trial: TrialConfig, labels: Mapping[str, int], *, batch_size: int | None = None, variant_dirs: Sequence[Path] = ()
) -> PredictedMemory:
    """Predict the peaks of the model of a trial with `batch_size` clips (default: of `measure`), with the batch."""
    size = batch_size or trial.measure.batch_size
    with torch.device("meta"):  # initialisation reads values, which fake tensors do not have
        model = VideoTransformer.of(trial, labels, variant_dirs)
    with FakeTensorMode(allow_non_fake_inputs=True):
        make_fake(model)
        if trial.train.activation_checkpointing:
            model.checkpoint_activations()
        batch = _batch(trial, labels, size)
        inference = _inference_peak(model.eval(), batch, trial.train)
        step, activations = _train_step_peak(model.train(), batch, trial.train)
        state = _optimizer_state(model, trial.train)
    parameters = _sum_bytes([*model.parameters(), *model.buffers()])
    gradients = _sum_bytes(parameter for parameter in model.parameters() if parameter.requires_grad)
    batch_bytes = _sum_bytes([batch.clips, *batch.labels.values()])
    known = parameters + gradients + _sum_bytes(state) + batch_bytes
    return PredictedMemory(
        batch_size=size,
        inference_peak_bytes=inference,
        train_step_peak_bytes=step,
        parameter_bytes=parameters,
        gradient_bytes=gradients,
        optimizer_bytes=_sum_bytes(state),
        batch_bytes=batch_bytes,
        activation_bytes=activations,
        temporary_bytes=max(step - known - activations, 0),
    )


def make_fake(model: nn.Module) -> None:
    """Replace all parameters and buffers by fake CPU tensors; call it inside a fake mode."""
    made: dict[int, Tensor] = {}

    def fake(tensor: Tensor) -> Tensor:
        if id(tensor) not in made:
            empty = torch.empty(tensor.shape, dtype=tensor.dtype)
            is_parameter = isinstance(tensor, nn.Parameter)
            made[id(tensor)] = nn.Parameter(empty, requires_grad=tensor.requires_grad) if is_parameter else empty
        return made[id(tensor)]

    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            setattr(module, name, fake(parameter))
        for name, buffer in list(module.named_buffers(recurse=False, remove_duplicate=False)):
            module._buffers[name] = fake(buffer)


def _sum_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of the distinct storages of these tensors."""
    return sum({tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}.values())


def _batch(trial: TrialConfig, labels: Mapping[str, int], size: int) -> Batch:
    model = trial.model
    clips = torch.empty(size, model.num_frames, 3, model.crop_size, model.crop_size, dtype=torch.uint8)
    return Batch(clips, {name: torch.zeros(size, dtype=torch.long) for name in labels})


def _inference_peak(model: nn.Module, batch: Batch, config: TrainConfig) -> int:
    present = [*model.parameters(), *model.buffers(), batch.clips, *batch.labels.values()]
    with StorageTracker(present) as tracker, torch.inference_mode(), _autocast(config):
        model(batch.clips)
    return tracker.peak_bytes


def _train_step_peak(model: nn.Module, batch: Batch, config: TrainConfig) -> tuple[int, int]:
    """Return (peak of a step after the first one, bytes that its forward pass adds and keeps).

    As in the training loop, the gradients of the previous step live until the backward pass.
    """
    state = _optimizer_state(model, config)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    present = [*model.parameters(), *model.buffers(), *state, *gradients, batch.clips, *batch.labels.values()]
    del gradients
    with StorageTracker(present) as tracker:
        before = tracker.live_bytes
        del present
        with _autocast(config):
            loss = loss_of(model(batch.clips), batch.labels, config.label_smoothing)
        activations = tracker.live_bytes - before
        for parameter in model.parameters():
            parameter.grad = None
        loss.backward()
        if config.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        if config.optimizer == "sgd":  # fused AdamW works in place
            build_optimizer(model, config).step()
    return tracker.peak_bytes, activations


def _autocast(config: TrainConfig) -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.precision == "bf16")


def _optimizer_state(model: nn.Module, config: TrainConfig) -> list[Tensor]:
    """Return the optimizer state: two moments and a step per parameter for AdamW, one momentum for SGD.

    It is made here, since the fused update has no fake implementation.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    copies = 2 if config.optimizer == "adamw" else int(config.momentum > 0)
    state = [torch.empty_like(parameter, requires_grad=False) for parameter in trained for _ in range(copies)]
    return state + [torch.zeros(()) for _ in trained if config.optimizer == "adamw"]
