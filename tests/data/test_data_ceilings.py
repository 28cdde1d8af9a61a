"""Ceilings compared with lookup tables that know every answer: the best that a model of a kind reaches on the split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from harness.data import Batch, ceilings, open_split
from harness.data.scenes import TASKS
from harness.data.sets.moving_shapes import MovingShapesConfig
from harness.nn.config import ModelConfig

REVERSED = {"motion": "verb", "order": "order", "cyclic": "cycle"}
Pieces = Callable[[np.ndarray], Iterable[Hashable]]


def _data(task: str, num_test: int = 120) -> MovingShapesConfig:
    return MovingShapesConfig.model_validate({"name": "moving_shapes", "task": task, "num_test": num_test})


def _views(task: str, num_test: int = 120, num_frames: int = 8) -> Batch:
    source = open_split(_data(task, num_test), ModelConfig(num_frames=num_frames), "test", 0)
    clips, labels = source.views(range(num_test))
    if task == "motion":
        labels = {**labels, "action": labels["verb"] * 4 + labels["noun"]}
    return Batch(clips[:, 0], labels)


def _best_table(batch: Batch, label: str, pieces: Pieces) -> float:
    """Returns the accuracy of the best table from inputs to classes; one of the inputs of a clip is drawn uniformly."""
    votes: dict[Hashable, Counter[int]] = defaultdict(Counter)
    for clip, answer in zip(batch.clips.numpy(), batch.labels[label].tolist(), strict=True):
        for piece in pieces(clip):
            votes[piece][answer] += 1
    return sum(max(counts.values()) for counts in votes.values()) / sum(sum(c.values()) for c in votes.values())


def _bag(clip: np.ndarray) -> list[Hashable]:
    return [tuple(sorted(frame.tobytes() for frame in clip))]


def _any_frame(clip: np.ndarray) -> list[Hashable]:
    return [frame.tobytes() for frame in clip]


def _ordered(clip: np.ndarray) -> list[Hashable]:
    return [clip.tobytes()]


@pytest.mark.parametrize("num_frames", [2, 7, 8, 9])
@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("task", REVERSED)
def test_pairs_are_exact_time_reversals_with_the_partner_class(task: str, split: str, num_frames: int) -> None:
    source = open_split(_data(task), ModelConfig(num_frames=num_frames), split, 0)  # type: ignore[arg-type]
    even, odd = source.views(range(0, 100, 2)), source.views(range(1, 100, 2))
    assert torch.equal(odd.clips, even.clips.flip(2))
    for name in source.labels:
        partner = even.labels[name] ^ 1 if name == REVERSED[task] else even.labels[name]
        assert torch.equal(odd.labels[name], partner)


@pytest.mark.parametrize("num_test", [120, 6])
@pytest.mark.parametrize("task", TASKS)
def test_no_table_passes_its_ceiling_and_order_decides(task: str, num_test: int) -> None:
    batch = _views(task, num_test)
    known = ceilings(_data(task, num_test))
    for label in batch.labels:
        assert _best_table(batch, label, _bag) <= known["bag_of_frames"][label]
        assert _best_table(batch, label, _any_frame) <= known["one_frame"][label]
        assert _best_table(batch, label, _ordered) == 1.0


@pytest.mark.parametrize("task", REVERSED)
def test_the_ceiling_of_a_bag_of_frames_is_reached(task: str) -> None:
    label = REVERSED[task]
    assert _best_table(_views(task), label, _bag) == ceilings(_data(task))["bag_of_frames"][label] == 0.5


@pytest.mark.parametrize("num_frames", [7, 9])
def test_the_middle_frame_alone_does_not_determine_the_verb(num_frames: int) -> None:
    batch = _views("motion", num_frames=num_frames)
    assert _best_table(batch, "verb", lambda clip: [clip[num_frames // 2].tobytes()]) == 0.5


@pytest.mark.parametrize("num_test", [120, 122, 2])
def test_delay_needs_both_ends(num_test: int) -> None:
    batch = _views("delay", num_test)
    known = ceilings(_data("delay", num_test))
    best = [_best_table(batch, "answer", lambda clip, t=t: [clip[t].tobytes()]) for t in range(8)]
    assert max(best) == known["one_frame"]["answer"]
    assert _best_table(batch, "answer", lambda clip: [clip[1:].tobytes()]) == 0.5
    assert _best_table(batch, "answer", lambda clip: [clip[[0, -1]].tobytes()]) == 1.0
    assert _best_table(batch, "answer", _bag) == known["bag_of_frames"]["answer"] == 1.0


def test_delay_groups_share_all_but_the_exchanged_ends() -> None:
    clips, labels = _views("delay", 40)
    for group in range(0, 40, 4):
        base, other_cue, other_probe, both = clips[group : group + 4]
        assert torch.equal(base[1:], other_cue[1:])
        assert torch.equal(base[:-1], other_probe[:-1])
        assert torch.equal(both[0], other_cue[0])
        assert torch.equal(both[1:], other_probe[1:])
        answer = int(labels["answer"][group])
        assert labels["answer"][group : group + 4].tolist() == [answer, 1 - answer, 1 - answer, answer]


def _most_separable(features: np.ndarray, classes: np.ndarray) -> int:
    """Returns the largest number of rows that one linear score (with a constant) puts on their side of zero."""
    signed = np.hstack([features, np.ones((len(features), 1))]) * (2 * classes[:, None] - 1)
    for size in range(len(signed), 0, -1):
        for rows in combinations(range(len(signed)), size):
            answer = linprog(
                np.zeros(signed.shape[1]), A_ub=-signed[list(rows)], b_ub=-np.ones(size), bounds=(None, None)
            )
            if answer.status == 0:
                return size
    return 0


def test_additive_scores_of_a_delay_group_get_three_of_four_right() -> None:
    cue, probe = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    features = np.hstack([np.eye(2)[cue], np.eye(2)[probe]])
    assert _most_separable(features, cue ^ probe) == 3
    assert ceilings(_data("delay", 2000))["additive"]["answer"] == 0.75
    assert _most_separable(features[:2], (cue ^ probe)[:2]) == 2  # the half group at the end of an odd split
    assert ceilings(_data("delay", 6))["additive"]["answer"] == 5 / 6


@pytest.mark.parametrize("num_frames", [3, 4, 6, 8])
def test_additive_scores_of_frames_and_times_get_five_of_six_cyclic_sequences_right(num_frames: int) -> None:
    steps = np.arange(num_frames)
    shown = np.stack([(phase + step * steps) % 3 for step in (1, -1) for phase in range(3)])
    features = np.eye(3)[shown]
    assert np.array_equal(features[:3].sum(0), features[3:].sum(0))  # each shape at each time, equally often
    assert _most_separable(features.reshape(6, -1), np.array([0, 0, 0, 1, 1, 1])) == 5


@pytest.mark.parametrize("num_frames", [3, 4, 8])
def test_cyclic_clips_show_the_sequences_of_their_class(num_frames: int) -> None:
    drawn = [TASKS["cyclic"].draw(np.random.default_rng(seed), num_frames) for seed in range(60)]
    for scene in drawn:
        assert set(np.diff(scene.shapes) % 3) == {[1, 2][scene.labels["cycle"]]}
    assert len({tuple(scene.shapes) for scene in drawn}) == 6


@pytest.mark.parametrize("num_frames", [2, 3, 8, 9])
def test_order_clips_show_one_shape_in_each_half(num_frames: int) -> None:
    for seed in range(60):
        scene = TASKS["order"].draw(np.random.default_rng(seed), num_frames)
        half = num_frames // 2
        first, second = scene.shapes[:half], scene.shapes[num_frames - half :]
        assert set(first) - {-1} == {scene.labels["order"]}
        assert set(second) - {-1} == {1 - scene.labels["order"]}


@pytest.mark.parametrize("task", TASKS)
def test_chance_is_one_over_the_number_of_classes(task: str) -> None:
    for label, fraction in ceilings(_data(task))["chance"].items():
        classes = TASKS[task].classes
        count = len(classes["verb"]) * len(classes["noun"]) if label == "action" else len(classes[label])
        assert fraction == 1 / count
