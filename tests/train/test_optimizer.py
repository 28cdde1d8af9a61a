"""Learning-rate schedule and parameter groups."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.data import data_identity
from harness.model.embedding import PatchEmbedding
from harness.model.video_transformer import VideoTransformer
from harness.registry import variant_names
from harness.sweep.plan import plan_sweep
from harness.sweep.schema import TrainConfig, TrialConfig
from harness.train.optimizer import build_optimizer, learning_rate

SWEEP = """
question: Which parameters are decayed?
data: {name: random}
model: {size: tiny, num_frames: 8, crop_size: 16, patch_size: 4, spatial_position: learned}
variant: mixing
train: {device: cpu}
vary:
  - list:
"""
# settings with tokens, positions and tables that the defaults do not have
MORE = [
    "{variant: spatial_only, readout: {name: temporal_attention, positions: true}}",
    "{variant: spatial_only, readout: gru}",
    "{variant: spatial_only, readout: concat_mlp}",
    "{variant: mixing, global_tokens.summary: 1}",
    "{variant: joint, global_tokens.registers: 1, model.tubelet_size: 2}",
    "{variant: joint, model.joint_position: learned, model.spatial_position: none, model.temporal_position: none}",
]


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


def decayed(model: nn.Module) -> set[int]:
    groups = build_optimizer(model, TrainConfig(weight_decay=0.3)).param_groups
    assert sum(len(group["params"]) for group in groups) == sum(p.requires_grad for p in model.parameters())
    return {id(p) for group in groups if group["weight_decay"] for p in group["params"]}


def test_weight_decay_excludes_norms_biases_tokens_and_positions() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm, self.conv = nn.Linear(3, 3), nn.LayerNorm(3), nn.Conv1d(3, 3, 1)
            self.my_own_token = nn.Parameter(torch.zeros(1, 1, 3))
            self.bias_table = nn.Parameter(torch.zeros(7, 4))
            self.embedding = nn.Embedding(4, 3)

    model = Model()
    assert decayed(model) == {id(model.linear.weight), id(model.conv.weight)}


def every_variant(folder: Path) -> list[VideoTransformer]:
    """Returns models of all variants with their defaults, and of the settings above."""
    rows = [f"{{variant: {name}}}" for name in variant_names()] + MORE
    path = folder / "decay.yaml"
    path.write_text(SWEEP + "".join(f"      - {row}\n" for row in rows), encoding="utf-8")
    plan = plan_sweep(path, data_identity=data_identity)
    return [VideoTransformer.of(TrialConfig(**trial.config), {"label": 5}) for trial in plan.trials]


def test_weight_decay_depends_on_the_type_of_module_in_every_variant(tmp_path: Path) -> None:
    spared = set()
    for model in every_variant(tmp_path):
        chosen = decayed(model)
        for prefix, module in model.named_modules():
            for name, parameter in module.named_parameters(prefix, recurse=False):
                is_map = isinstance(module, nn.Linear | nn.Conv3d | PatchEmbedding)
                assert (id(parameter) in chosen) == (is_map and name.endswith(".weight")), name
                spared |= {name.split(".")[-1]} if id(parameter) not in chosen and parameter.ndim > 1 else set()
    assert {"temporal_token", "temporal_positions", "relative_position_bias_table", "positions"} <= spared
