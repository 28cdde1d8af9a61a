"""Training loop: bit-identical for equal configuration, seed, threads and processes, also after a resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data import Batch, ClipSource
from harness.sweep.schema import TrainConfig
from harness.train import checkpoint
from harness.train.checkpoint import Progress
from harness.train.distributed import SINGLE_PROCESS, Group
from harness.train.optimizer import build_optimizer, learning_rate

LOG_EVERY = 10  # steps between checks of the loss; a check waits for the device


class Interrupted(Exception):
    """Training stopped on request; a checkpoint is saved, and the trial can resume from it."""


class NonFiniteLoss(Exception):
    """The loss became NaN or infinite."""


def batches(
    source: ClipSource, config: TrainConfig, seed: int, first_step: int, group: Group = SINGLE_PROCESS
) -> Iterator[Batch]:
    """Yields the training batches from `first_step` on, or this rank's share of each.

    Each epoch is a permutation drawn from (seed, epoch); ranks take their shares of the same batches.
    """
    size = len(source)
    for step in range(first_step, config.num_steps):
        places = np.arange(step * config.batch_size, (step + 1) * config.batch_size)[group.share(config.batch_size)]
        parts = [
            source.train_batch(_permutation(seed, epoch, size)[places[places // size == epoch] % size], draw=int(epoch))
            for epoch in np.unique(places // size)
        ]
        labels = {label: torch.cat([part.labels[label] for part in parts]) for label in parts[0].labels}
        yield Batch(torch.cat([part.clips for part in parts]), labels)


_LAST_PERMUTATIONS: dict[tuple[int, int, int], np.ndarray] = {}


def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    key = (seed, epoch, size)
    if key not in _LAST_PERMUTATIONS:
        _LAST_PERMUTATIONS.pop(next(iter(_LAST_PERMUTATIONS), key), None)
        _LAST_PERMUTATIONS[key] = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(size)
    return _LAST_PERMUTATIONS[key]


def loss_of(logits: Mapping[str, Tensor], labels: Mapping[str, Tensor], smoothing: float = 0.0) -> Tensor:
    """Returns the mean cross-entropy summed over the labels, computed in at least float32."""
    terms = [
        F.cross_entropy(
            scores.to(torch.promote_types(scores.dtype, torch.float32)), labels[name], label_smoothing=smoothing
        )
        for name, scores in logits.items()
    ]
    return torch.stack(terms).sum()


def training_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, config: TrainConfig) -> Tensor:
    """Runs forward, backward, clipping and update; returns the loss without waiting for the device."""
    device = next(model.parameters()).device
    labels = {name: label.to(device) for name, label in batch.labels.items()}
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.precision == "bf16"):
        loss = loss_of(model(batch.clips.to(device)), labels, config.label_smoothing)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if config.clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    optimizer.step()
    return loss.detach()


@dataclass(frozen=True)
class CheckpointPolicy:
    """The checkpoint file, the steps between two checkpoints, the identity of the training code, and the trial.

    A checkpoint of another trial is not resumed from.
    """

    file: Path
    every: int
    code: str = ""
    trial_id: str = ""


@dataclass(frozen=True)
class TrainingHooks:
    """Callbacks of the training loop.

    `report` runs after every `report_every` steps except the last one and may evaluate the model; its time does not
    count as training time. Only one rank of a group has it; the others wait in their next step.
    `on_fallback` gets a message if the newest checkpoint cannot be used.
    """

    on_progress: Callable[[Progress], None]
    should_stop: Callable[[], bool]
    report: Callable[[int], None] | None = None
    report_every: int = 0
    on_fallback: Callable[[str], None] = print


def train(
    model: nn.Module,
    source: ClipSource,
    config: TrainConfig,
    seed: int,
    policy: CheckpointPolicy,
    hooks: TrainingHooks,
    group: Group = SINGLE_PROCESS,
) -> Progress:
    """Trains to the last step, starting from the checkpoint if there is one. All ranks of a group must call it.

    Raises:
        NonFiniteLoss: the loss is NaN or infinite; raised on all ranks, with the step.
        Interrupted: `should_stop` returned True on some rank; a checkpoint is saved first.
    """
    optimizer = build_optimizer(model, config)
    found = checkpoint.load(policy.file, model, optimizer, group, policy.trial_id, hooks.on_fallback)
    progress = found or Progress()
    if policy.code not in progress.codes:
        progress.codes.append(policy.code)
    forward = group.wrap(model).train()
    pending: list[Tensor] = []
    start = time.perf_counter() - progress.duration_s

    def check() -> None:
        progress.duration_s = time.perf_counter() - start
        if pending:
            _check_losses(pending, progress, group)

    for batch in batches(source, config, seed, progress.step, group):
        for parameters in optimizer.param_groups:
            parameters["lr"] = learning_rate(config, progress.step)
        pending.append(training_step(forward, optimizer, batch, config))
        progress.step += 1
        last = progress.step == config.num_steps
        if progress.step % LOG_EVERY == 0 or last:
            check()
            hooks.on_progress(progress)
        if not last:
            start += _report(hooks, forward, progress.step)
        stop = group.any(hooks.should_stop())
        if progress.step % policy.every == 0 or last or stop:
            check()  # a checkpoint between two checks would lose the pending losses
            checkpoint.save(policy.file, model, optimizer, progress, group, policy.trial_id)
        if stop and not last:
            raise Interrupted
    return progress


def _report(hooks: TrainingHooks, model: nn.Module, step: int) -> float:
    """Runs the periodic report if it is due; returns its duration in seconds."""
    if hooks.report is None or step % hooks.report_every:
        return 0.0
    begin = time.perf_counter()
    hooks.report(step)
    model.train()
    return time.perf_counter() - begin


def _check_losses(pending: list[Tensor], progress: Progress, group: Group) -> None:
    """Checks the losses since the last call and appends the latest to the curve."""
    losses = group.mean(torch.stack(pending)).tolist()
    first = progress.step - len(losses)
    for index, loss in enumerate(losses):
        if not np.isfinite(loss):
            raise NonFiniteLoss(f"the loss is {loss} at step {first + index + 1}")
    progress.loss_curve.append((progress.step, losses[-1]))
    pending.clear()
