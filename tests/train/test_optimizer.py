"""Learning-rate schedule and parameter groups."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from harness.sweep.schema import TrainConfig
from harness.train.optimizer import build_optimizer, learning_rate


def test_warm_up_rises_linearly_to_the_peak_and_cosine_falls_to_zero() -> None:
    config = TrainConfig(num_steps=100, warmup_fraction=0.1, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10] == max(rates) == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))


def test_constant_schedule_stays_at_the_peak() -> None:
    config = TrainConfig(num_steps=10, warmup_fraction=0.0, learning_rate=0.3, schedule="constant")
    assert {learning_rate(config, step) for step in range(10)} == {0.3}


def test_weight_decay_spares_norms_biases_tokens_and_positions() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(3, 3), nn.LayerNorm(3)
            self.cls_token = nn.Parameter(torch.zeros(1, 1, 3))
            self.pos_embed = nn.Parameter(torch.zeros(1, 4, 3))

    model = Model()
    groups = build_optimizer(model, TrainConfig(weight_decay=0.3)).param_groups
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {id(model.linear.weight)}
    assert sum(len(group["params"]) for group in groups) == 6
