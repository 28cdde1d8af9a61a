"""Builds the optimizer and computes the learning-rate schedule."""

from __future__ import annotations

import math

import torch
from torch import nn

from harness.model.embedding import PatchEmbedding
from harness.sweep.schema import TrainConfig

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_DECAYED = (nn.Linear, *_CONVOLUTIONS, PatchEmbedding)


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Builds AdamW or SGD. Weight decay applies to weights of linear layers, convolutions and patch embeddings only.

    The type of the module decides, not the name or the number of dimensions: tokens, positions and bias tables of a
    variant may have any name, and they are matrices too.
    """
    weights = {id(module.weight) for module in model.modules() if isinstance(module, _DECAYED)}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if id(parameter) in weights]
    rest = [parameter for parameter in trained if id(parameter) not in weights]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    if config.optimizer == "sgd":
        nesterov = config.nesterov and config.momentum > 0
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=nesterov)
    betas = (config.betas[0], config.betas[1])
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, fused=True)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Returns the rate of a step (from 0): linear warm-up to the peak, then a half cosine to 0, or constant."""
    warmup = round(config.warmup_fraction * config.num_steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - warmup) / max(config.num_steps - warmup, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
