"""Costs of a configuration before it runs: parameters and multiply-accumulates, without allocating the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from harness.data import open_split
from harness.measure.count.ledger import Ledger
from harness.measure.count.macs import count_traced
from harness.model.video_transformer import VideoTransformer
from harness.record import Costs, PredictedMemory
from harness.sweep.schema import TrialConfig


def planned_costs(
    config: Mapping[str, Any], variant_dirs: Sequence[Path] = (), *, backward: bool = False, memory: bool = False
) -> Costs:
    """Count the costs of a resolved configuration on the meta device; `num_views` are the test views of the data.

    With `memory`, peak memory at `measure.batch_size` is predicted too.

    Raises:
        UserError: the data, which determine the numbers of classes and views, cannot be opened.
    """
    return planned_ledger(config, variant_dirs, backward=backward, memory=memory)[0]


def planned_ledger(
    config: Mapping[str, Any], variant_dirs: Sequence[Path] = (), *, backward: bool = False, memory: bool = False
) -> tuple[Costs, Ledger]:
    """Count as `planned_costs` does, and return the ledger of the forward pass too."""
    trial = TrialConfig(**config)
    size = trial.model.crop_size
    source = open_split(trial.data, trial.model, "test", trial.seed)
    with torch.device("meta"):
        model = VideoTransformer.of(trial, source.labels, variant_dirs)
    shape = (trial.model.num_frames, 3, size, size)
    macs, ledger = count_traced(lambda: model, shape, backward=backward)
    trunk = model.variant.trunk
    costs = Costs(
        num_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        macs=macs,
        num_views=source.num_views,
        macs_per_video=macs.macs_per_view * source.num_views,
        num_frames=trial.model.num_frames,
        num_tokens=trunk.num_frames * trunk.num_patches,
        predicted_memory=_predicted(trial, source.labels, variant_dirs) if memory else None,
    )
    return costs, ledger


def _predicted(trial: TrialConfig, labels: Mapping[str, int], variant_dirs: Sequence[Path]) -> PredictedMemory:
    from harness.measure.memory.predicted import predict_memory  # fake tensors take half a second to import

    return predict_memory(trial, labels, variant_dirs=variant_dirs)
