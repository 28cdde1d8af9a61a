"""Scores cover all views of all clips, independently of the size of forward passes; NaN is an error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.data import Batch, ClipSource
from harness.measure.failure import verdict
from harness.record import Score
from harness.sweep.schema import TrainConfig
from harness.train.evaluate import evaluate
from harness.train.loop import NonFiniteLoss


class Clips(ClipSource):
    """Noise of one pixel and one frame per view, with random labels."""

    def __init__(self, labels: dict[str, int], num_clips: int = 23, num_views: int = 3) -> None:
        draw = torch.Generator().manual_seed(0)
        self.labels, self.num_views = labels, num_views
        self.clips = torch.randint(0, 256, (num_clips, num_views, 1, 3, 1, 1), generator=draw, dtype=torch.uint8)
        self.right = {name: torch.randint(0, size, (num_clips,), generator=draw) for name, size in labels.items()}
        self.most_views = 0

    def __len__(self) -> int:
        return len(self.clips)

    def train_batch(self, indices: Sequence[int] | np.ndarray, draw: int) -> Batch:
        raise NotImplementedError

    def views(self, indices: Sequence[int] | np.ndarray) -> Batch:
        self.most_views = max(self.most_views, len(indices) * self.num_views)
        return Batch(self.clips[indices], {name: right[indices] for name, right in self.right.items()})


class Linear(nn.Module):
    """A linear classifier in float64, whose output does not depend on the batch size; stores its largest batch."""

    def __init__(self, labels: dict[str, int]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.heads = nn.ModuleDict({name: nn.Linear(3, size).double() for name, size in labels.items()})
        self.largest = 0

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        self.largest = max(self.largest, len(clips))
        return {name: head(clips.flatten(1).double() / 100) for name, head in self.heads.items()}


def config(batch_size: int) -> TrainConfig:
    return TrainConfig(batch_size=batch_size, device="cpu")


@pytest.mark.parametrize("batch_size", [1, 2, 4, 7, 64])
def test_chunks_change_no_score_and_bound_every_batch(batch_size: int) -> None:
    labels = {"verb": 8, "noun": 6}
    whole, source, model = Clips(labels), Clips(labels), Linear(labels)
    want = evaluate(model, whole, config(10_000))
    assert model.largest == 23 * 3
    model.largest = 0
    assert evaluate(model, source, config(batch_size)) == want
    assert model.largest <= batch_size
    assert source.most_views <= max(batch_size, source.num_views)
    assert {score.total for score in want.values()} == {23}
    assert any(0 < score.top1_correct < 23 for score in want.values())


def by_hand(source: Clips, model: Linear) -> dict[str, list[Tensor]]:
    """Returns the probabilities of each clip, computed one view at a time."""
    return {
        name: [torch.stack([model(view[None])[name][0].softmax(-1) for view in clip]).mean(0) for clip in source.clips]
        for name in source.labels
    }


def test_scores_are_those_of_a_slow_count() -> None:
    labels = {"verb": 8, "noun": 4}
    source, model = Clips(labels), Linear(labels)
    scores, probabilities = evaluate(model, source, config(5)), by_hand(source, model)
    first = dict.fromkeys(["verb", "noun", "action"], 0)
    five = dict(first)
    for clip in range(len(source)):
        verb, noun = probabilities["verb"][clip].tolist(), probabilities["noun"][clip].tolist()
        right = int(source.right["verb"][clip]), int(source.right["noun"][clip])
        pairs = sorted(((v * n, i, j) for i, v in enumerate(verb) for j, n in enumerate(noun)), reverse=True)
        both = np.argmax(verb) == right[0] and np.argmax(noun) == right[1]
        assert both == (pairs[0][1:] == right)  # top 1 of the pair: both correct
        first["action"] += both
        five["action"] += right in [pair[1:] for pair in pairs[:5]]
        first["verb"] += np.argmax(verb) == right[0]
        five["verb"] += right[0] in np.argsort(verb)[-5:]
        first["noun"] += np.argmax(noun) == right[1]
    assert {name: score.top1_correct for name, score in scores.items()} == first
    assert (scores["verb"].top5_correct, scores["action"].top5_correct) == (five["verb"], five["action"])
    assert scores["noun"].top5_correct is None  # four classes
    assert first["action"] < five["action"] < len(source)


def test_ties_count_against_the_model() -> None:
    source, model = Clips({"verb": 8, "noun": 6}), Linear({"verb": 8, "noun": 6})
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    assert set(map(repr, evaluate(model, source, config(8)).values())) == {
        repr(Score(top1_correct=0, top5_correct=0, total=23))
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_probabilities_that_are_not_finite_are_an_error(value: float) -> None:
    source, model = Clips({"label": 8}), Linear({"label": 8})
    model.heads["label"].bias.data[3] = value  # type: ignore[union-attr, operator]
    with pytest.raises(NonFiniteLoss, match="label are not finite") as caught:
        evaluate(model, source, config(8))
    assert verdict(caught.value)[0] == "nan"
