"""Accuracy on a fixed split: correct and total for each label, over the views of each clip."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from harness.data import ClipSource
from harness.record import Score
from harness.sweep.schema import TrainConfig
from harness.train.loop import NonFiniteLoss

TOP_K = 5


@torch.inference_mode()
def evaluate(model: nn.Module, source: ClipSource, config: TrainConfig) -> dict[str, Score]:
    """Scores of every label. The class probabilities of a clip's views are averaged (softmax, then mean).

    No forward pass is larger than a training step's: at most a process's share of `config.batch_size` views, where the
    views of one clip may fall into several passes. A data set with the labels verb and noun also gets `action`, the
    pair, as in EPIC-Kitchens.

    Raises:
        NonFiniteLoss: a probability is NaN or infinite; ranks would take that for an answer.
    """
    model.eval()
    hits: dict[str, list[Tensor]] = {}
    clips_at_once = max(1, config.batch_size_per_process // source.num_views)
    for first in range(0, len(source), clips_at_once):
        last = min(first + clips_at_once, len(source))
        batch = source.views(np.arange(first, last))
        probabilities = _probabilities(model, batch.clips, config)
        _check_finite(probabilities, f"clips {first} to {last - 1}")
        ranks = {label: _ranks(scores, batch.labels[label]) for label, scores in probabilities.items()}
        if {"verb", "noun"} <= ranks.keys():
            ranks["action"] = _action_ranks(probabilities, batch.labels)
        for label, rank in ranks.items():
            hits.setdefault(label, []).append(rank)
    return {label: _score(torch.cat(ranks), _num_answers(source.labels, label)) for label, ranks in hits.items()}


def _probabilities(model: nn.Module, clips: Tensor, config: TrainConfig) -> dict[str, Tensor]:
    """Mean softmax over the views: clips (N, V, T, C, H, W) -> (N, classes) for each label."""
    device = next(model.parameters()).device
    of_views: dict[str, list[Tensor]] = {}
    for views in clips.flatten(0, 1).split(config.batch_size_per_process):
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.precision == "bf16"):
            logits: Mapping[str, Tensor] = model(views.to(device))
        for label, scores in logits.items():
            of_views.setdefault(label, []).append(scores.float().softmax(-1).cpu())
    return {label: torch.cat(scores).unflatten(0, clips.shape[:2]).mean(1) for label, scores in of_views.items()}


def _check_finite(probabilities: Mapping[str, Tensor], where: str) -> None:
    for label, scores in probabilities.items():
        if not scores.isfinite().all():
            raise NonFiniteLoss(f"the probabilities of {label} are not finite in the evaluation of {where}")


def _ranks(scores: Tensor, labels: Tensor) -> Tensor:
    """How many classes are at least as probable as the right one, itself left out; ties count against the model."""
    right = scores.gather(1, labels[:, None])
    return (scores >= right).sum(1) - 1


def _action_ranks(probabilities: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> Tensor:
    """Rank of the right (verb, noun) among all pairs, by the product of the two probabilities.

    Rank 0 is "both right": the product is largest where both factors are. In float64 the products of two float32
    numbers are exact, so that rounding makes no ties.
    """
    verb, noun = probabilities["verb"].double(), probabilities["noun"].double()
    pairs = (verb[:, :, None] * noun[:, None, :]).flatten(1)
    return _ranks(pairs, labels["verb"] * noun.shape[1] + labels["noun"])


def _num_answers(labels: Mapping[str, int], label: str) -> int:
    """Classes of a label; of `action`, pairs."""
    return labels["verb"] * labels["noun"] if label == "action" and "action" not in labels else labels[label]


def _score(ranks: Tensor, num_classes: int) -> Score:
    """Correct among the first one and five; no top-5 for fewer than six classes."""
    top5 = int((ranks < TOP_K).sum()) if num_classes > TOP_K else None
    return Score(top1_correct=int((ranks == 0).sum()), top5_correct=top5, total=len(ranks))
