"""The training loop: the same bits for the same configuration, seed, threads and processes, interrupted or not."""

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

LOG_EVERY = 10  # steps between looks at the loss: a look waits for the device


class Interrupted(Exception):
    """Asked to stop: the state is saved, the trial goes on from there."""


class NonFiniteLoss(Exception):
    """The loss became NaN or infinite."""


def batches(
    source: ClipSource, config: TrainConfig, seed: int, first_step: int, group: Group = SINGLE_PROCESS
) -> Iterator[Batch]:
    """Training batches from a step on, or this rank's share of them.

    Each epoch is a permutation of its own, drawn from (seed, epoch); ranks take their shares of the same batches.
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
    """Sum over the labels of the mean cross-entropy, in float32 at least."""
    terms = [
        F.cross_entropy(
            scores.to(torch.promote_types(scores.dtype, torch.float32)), labels[name], label_smoothing=smoothing
        )
        for name, scores in logits.items()
    ]
    return torch.stack(terms).sum()


def training_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, config: TrainConfig) -> Tensor:
    """Forward, backward, clipping, update; returns the loss without waiting for the device."""
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
    """Where checkpoints go, how many steps lie between two, and which code trains (see `harness.code_identity`)."""

    file: Path
    every: int
    code: str = ""


@dataclass(frozen=True)
class TrainingHooks:
    """What a loop tells and asks while it runs.

    `report` is called after every `report_every` steps but the last, and may look at the model; its time is not
    counted as training. Only one rank of a group has it; the others wait for its next step.
    """

    on_progress: Callable[[Progress], None]
    should_stop: Callable[[], bool]
    report: Callable[[int], None] | None = None
    report_every: int = 0


def train(
    model: nn.Module,
    source: ClipSource,
    config: TrainConfig,
    seed: int,
    saving: CheckpointPolicy,
    watching: TrainingHooks,
    group: Group = SINGLE_PROCESS,
) -> Progress:
    """Trains to the last step, from the checkpoint if there is one. All ranks of a group call it alike.

    Raises:
        NonFiniteLoss: naming the step; on all ranks.
        Interrupted: `should_stop` said so on any rank; a checkpoint is written first.
    """
    optimizer = build_optimizer(model, config)
    progress = checkpoint.load(saving.file, model, optimizer, group) or Progress()
    if saving.code not in progress.codes:
        progress.codes.append(saving.code)
    forward = group.wrap(model).train()
    pending: list[Tensor] = []
    start = time.perf_counter() - progress.duration_s

    def look() -> None:
        progress.duration_s = time.perf_counter() - start
        if pending:
            _look(pending, progress, group)

    for batch in batches(source, config, seed, progress.step, group):
        for parameters in optimizer.param_groups:
            parameters["lr"] = learning_rate(config, progress.step)
        pending.append(training_step(forward, optimizer, batch, config))
        progress.step += 1
        last = progress.step == config.num_steps
        if progress.step % LOG_EVERY == 0 or last:
            look()
            watching.on_progress(progress)
        if not last:
            start += _report(watching, forward, progress.step)
        stop = group.any(watching.should_stop())
        if progress.step % saving.every == 0 or last or stop:
            look()  # a checkpoint between two looks would lose the losses since the last one
            checkpoint.save(saving.file, model, optimizer, progress, group)
        if stop and not last:
            raise Interrupted
    return progress


def _report(watching: TrainingHooks, model: nn.Module, step: int) -> float:
    """Lets the one who asked look at the model if it is time to; returns the seconds that took."""
    if watching.report is None or step % watching.report_every:
        return 0.0
    begin = time.perf_counter()
    watching.report(step)
    model.train()
    return time.perf_counter() - begin


def _look(pending: list[Tensor], progress: Progress, group: Group) -> None:
    """Checks the losses since the last look and puts the latest on the curve."""
    losses = group.mean(torch.stack(pending)).tolist()
    first = progress.step - len(losses)
    for index, loss in enumerate(losses):
        if not np.isfinite(loss):
            raise NonFiniteLoss(f"the loss is {loss} at step {first + index + 1}")
    progress.loss_curve.append((progress.step, losses[-1]))
    pending.clear()
