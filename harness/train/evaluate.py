"""Accuracy on a fixed split: correct and total for each label, over the views of each clip."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from harness.data import ClipSource
from harness.record import Score
from harness.sweep.schema import TrainConfig

TOP_K = 5


@torch.inference_mode()
def evaluate(model: nn.Module, source: ClipSource, config: TrainConfig, batch_size: int = 250) -> dict[str, Score]:
    """Scores of every label. The class probabilities of a clip's views are averaged (softmax, then mean).

    A data set with the labels verb and noun also gets `action`: both right, as in EPIC-Kitchens.
    """
    model.eval()
    hits: dict[str, list[Tensor]] = {}
    for first in range(0, len(source), batch_size):
        batch = source.views(np.arange(first, min(first + batch_size, len(source))))
        ranks = _ranks(_probabilities(model, batch.clips, config), batch.labels)
        if {"verb", "noun"} <= ranks.keys():
            ranks["action"] = torch.maximum(ranks["verb"], ranks["noun"])
        for label, rank in ranks.items():
            hits.setdefault(label, []).append(rank)
    return {label: _score(torch.cat(ranks), source.labels.get(label)) for label, ranks in hits.items()}


def _probabilities(model: nn.Module, clips: Tensor, config: TrainConfig) -> dict[str, Tensor]:
    """Mean softmax over the views: clips (N, V, T, C, H, W) -> (N, classes) for each label."""
    device = next(model.parameters()).device
    num_clips, num_views = clips.shape[:2]
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.precision == "bf16"):
        logits: Mapping[str, Tensor] = model(clips.flatten(0, 1).to(device))
    return {
        label: scores.float().softmax(-1).unflatten(0, (num_clips, num_views)).mean(1).cpu()
        for label, scores in logits.items()
    }


def _ranks(probabilities: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """How many classes are at least as probable as the right one, itself left out; ties count against the model."""
    ranks = {}
    for label, scores in probabilities.items():
        right = scores.gather(1, labels[label][:, None])
        ranks[label] = (scores >= right).sum(1) - 1
    return ranks


def _score(ranks: Tensor, num_classes: int | None) -> Score:
    """Correct among the first one and five; no top-5 for fewer than six classes or for a pair of labels."""
    has_top5 = num_classes is not None and num_classes > TOP_K
    top5 = int((ranks < TOP_K).sum()) if has_top5 else None
    return Score(top1_correct=int((ranks == 0).sum()), top5_correct=top5, total=len(ranks))
