"""Optimizer and learning-rate schedule."""

from __future__ import annotations

import math

import torch
from torch import nn

from harness.sweep.schema import TrainConfig

_UNDECAYED = ("pos_embed", "temporal_embed", "joint_embed", "cls_token", "registers", "token", "positions")


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW or SGD; weight decay on weight matrices only, not on norms, biases, tokens and positions."""
    decayed: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            plain = parameter.ndim < 2 or name.rsplit(".", 1)[-1] in _UNDECAYED
            (rest if plain else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    if config.optimizer == "sgd":
        nesterov = config.nesterov and config.momentum > 0
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=nesterov)
    betas = (config.betas[0], config.betas[1])
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, fused=True)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Rate of a step counted from 0: linear warm-up to the peak, then a half cosine to zero, or constant."""
    warmup = round(config.warmup_fraction * config.num_steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - warmup) / max(config.num_steps - warmup, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
