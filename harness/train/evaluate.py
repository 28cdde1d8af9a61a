"""Evaluates accuracy on a fixed split: correct and total for each label, averaged over the views of a clip."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from harness.data import ClipSource
from harness.data.source import Alive, say_nothing
from harness.record import Score
from harness.sweep.schema import TrainConfig
from harness.train.loop import NonFiniteLoss

TOP_K = 5


@torch.inference_mode()
def evaluate(model: nn.Module, source: ClipSource, config: TrainConfig, alive: Alive = say_nothing) -> dict[str, Score]:
    """Returns the scores of every label. Class probabilities are averaged over the views (softmax, then mean).

    A forward pass holds at most as many views as a training step of one process holds clips; the views of one clip may
    be split over several passes. Data with the labels verb and noun also gets `action`, the pair, as in EPIC-Kitchens.
    `alive` is called after every batch.

    Raises:
        NonFiniteLoss: a probability is NaN or infinite; ranking would still produce a score.
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
        alive("evaluation batch")
    return {label: _score(torch.cat(ranks), _num_classes(source.labels, label)) for label, ranks in hits.items()}


def _probabilities(model: nn.Module, clips: Tensor, config: TrainConfig) -> dict[str, Tensor]:
    """Returns the mean softmax over the views for each label: clips (N, V, T, C, H, W) -> (N, classes)."""
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
    """Returns how many other classes are at least as probable as the correct one; ties count against the model."""
    correct = scores.gather(1, labels[:, None])
    return (scores >= correct).sum(1) - 1


def _action_ranks(probabilities: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> Tensor:
    """Returns the rank of the correct (verb, noun) among all pairs, by the product of the two probabilities.

    Rank 0 means that both are correct: the product is largest if both factors are. Products of two float32 numbers are
    exact in float64, so rounding causes no ties.
    """
    verb, noun = probabilities["verb"].double(), probabilities["noun"].double()
    pairs = (verb[:, :, None] * noun[:, None, :]).flatten(1)
    return _ranks(pairs, labels["verb"] * noun.shape[1] + labels["noun"])


def _num_classes(labels: Mapping[str, int], label: str) -> int:
    """Returns the number of classes of a label; for `action`, the number of pairs."""
    return labels["verb"] * labels["noun"] if label == "action" and "action" not in labels else labels[label]


def _score(ranks: Tensor, num_classes: int) -> Score:
    """Counts correct clips in the top 1 and top 5; no top 5 for fewer than six classes."""
    top5 = int((ranks < TOP_K).sum()) if num_classes > TOP_K else None
    return Score(top1_correct=int((ranks == 0).sum()), top5_correct=top5, total=len(ranks))
