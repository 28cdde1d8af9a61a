"""The embedded clips: determinism, independence of the batch, disjoint splits, and labels that agree with the pixels."""

from __future__ import annotations

import zlib
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data import SPLITS, ClipSource, Split, data_identity, open_split
from harness.data.render import NOTHING, SHAPES, Scene, render
from harness.data.scenes import NOUNS, TASKS, VERBS
from harness.data.sets.moving_shapes import MovingShapesClips, MovingShapesConfig
from harness.errors import UserError
from harness.nn.config import ModelConfig

SMALL = {"num_train": 64, "num_val": 32, "num_test": 48}


def _data(task: str = "motion", **fields: object) -> MovingShapesConfig:
    return MovingShapesConfig.model_validate({"name": "moving_shapes", "task": task, **SMALL, **fields})


def _open(
    task: str = "motion", split: Split = "test", num_frames: int = 8, size: int = 16, **fields: object
) -> ClipSource:
    return open_split(_data(task, **fields), ModelConfig(num_frames=num_frames, crop_size=size), split, seed=0)


@pytest.mark.parametrize("task", TASKS)
def test_shapes_and_types(task: str) -> None:
    source = _open(task, "val", num_frames=5, size=13)
    clips, labels = source.train_batch(np.array([3, 1, 2]), 0)
    assert (clips.shape, clips.dtype) == ((3, 5, 3, 13, 13), torch.uint8)
    views = source.views(range(4))
    assert views.clips.shape == (4, source.num_views, 5, 3, 13, 13)
    assert labels.keys() == source.labels.keys()
    for name, values in labels.items():
        assert (values.shape, values.dtype) == ((3,), torch.int64)
        assert int(values.min()) >= 0
        assert int(values.max()) < source.labels[name]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(TASKS)), st.sampled_from(SPLITS), st.lists(st.integers(0, 31), min_size=1))
def test_a_clip_does_not_depend_on_its_batch_its_draw_or_the_trial(task: str, split: Split, indices: list[int]) -> None:
    batch = _open(task, split).train_batch(indices, 7)
    other = open_split(_data(task), ModelConfig(), split, seed=12)
    for place, index in enumerate(indices):
        alone = other.train_batch([index], 0)
        assert torch.equal(batch.clips[place], alone.clips[0])
        assert all(batch.labels[name][place] == alone.labels[name][0] for name in alone.labels)


def test_clips_do_not_depend_on_the_sizes_of_the_splits() -> None:
    small, large = _open(), _open(num_train=1000, num_val=100, num_test=100)
    assert torch.equal(small.views(range(48)).clips, large.views(range(48)).clips)


def test_no_clip_is_in_two_splits_or_twice_in_one() -> None:
    seen: dict[bytes, tuple[int, str, int]] = {}
    for seed in (0, 1):
        for split in SPLITS:
            clips = _open(split=split, seed=seed).train_batch(range(32), 0).clips
            for index, clip in enumerate(clips):
                for played in (clip, clip.flip(0)):
                    owner = seen.setdefault(played.numpy().tobytes(), (seed, split, index))
                    pair = split != "train" and owner[:2] == (seed, split) and owner[2] // 2 == index // 2
                    assert owner == (seed, split, index) or pair
    assert len(seen) == 2 * (64 + 2 * 32)


def test_index_beyond_the_split_is_refused() -> None:
    with pytest.raises(IndexError, match="clip 48 of a test split of 48"):
        _open().views([48])


def test_clip_geometry_that_shows_nothing_is_refused_with_all_reasons() -> None:
    with pytest.raises(UserError) as caught:
        _open(num_frames=1, size=8)
    assert [fault.path for fault in caught.value.faults] == ["model.num_frames", "model.crop_size"]
    assert "moving_shapes needs 2 frames or more, not 1" in str(caught.value)
    with pytest.raises(UserError, match=r"data\.seed"):
        _open(seed=2**64)


GOLDEN = {
    "motion": 2142582728,
    "order": 3138264442,
    "cyclic": 1930924219,
    "delay": 2052097264,
    "static": 220956868,
}


@pytest.mark.parametrize("task", TASKS)
def test_clips_of_this_version_keep_their_bytes(task: str) -> None:
    """Compares checksums; a change makes stored results incomparable: it needs a new version in `data_identity`."""
    assert data_identity(_data(task)) == "moving_shapes/v1"
    checksum = zlib.crc32(_open(task).views(range(16)).clips.numpy().tobytes())
    assert checksum == GOLDEN[task]


def _ink_moments(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns centre x, centre y and area (T,) of the shape in noiseless frames (T, 3, H, W), found by change over time."""
    light = frames.astype(np.float64).sum(1)
    ink = np.abs(light - np.median(light, axis=0)).clip(1e-9)
    rows, columns = np.mgrid[: ink.shape[1], : ink.shape[2]]
    area = ink.sum((1, 2))
    return (ink * columns).sum((1, 2)) / area, (ink * rows).sum((1, 2)) / area, area


@pytest.mark.parametrize("backwards", [0, 1])
@pytest.mark.parametrize(("axis", "moment"), [(0, 0), (1, 1)])
def test_verbs_of_motion_say_where_the_shape_goes(axis: int, moment: int, backwards: int) -> None:
    source = MovingShapesClips(_data(noise=0.0, num_train=400), ModelConfig(num_frames=8, crop_size=64), "train")
    verb = 2 * axis + backwards
    clips = [frames for frames, labels in map(source.clip, range(200)) if labels["verb"] == verb]
    assert len(clips) > 10
    goes = [np.sign(_ink_moments(frames)[moment][-1] - _ink_moments(frames)[moment][0]) for frames in clips]
    expected = 1 if VERBS[verb] in ("right", "down") else -1
    assert np.mean(np.array(goes) == expected) > 0.9  # the background's estimate fails where the shape stays


def _scenes(num_frames: int, number: int) -> list[Scene]:
    return [TASKS["motion"].draw(np.random.default_rng(seed), num_frames) for seed in range(number)]


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 40))
def test_only_the_named_quantity_changes_and_in_the_named_direction(num_frames: int) -> None:
    changing = {"right": ("x", 1), "down": ("y", 1), "turn_clockwise": ("angle", 1), "grow": ("radius", 1)}
    changing |= {"left": ("x", -1), "up": ("y", -1), "turn_counterclockwise": ("angle", -1), "shrink": ("radius", -1)}
    for scene in _scenes(num_frames, 40):
        field, sign = changing[VERBS[scene.labels["verb"]]]
        for name in ("x", "y", "angle", "radius"):
            steps = np.diff(getattr(scene, name))
            assert (np.sign(steps) == (sign if name == field else 0)).all()
        assert (np.abs(np.diff(scene.angle)) < np.pi / 4).all()  # the plus has a symmetry of pi / 2


def test_shapes_stay_mostly_inside() -> None:
    for scene in _scenes(8, 500):
        assert ((scene.x > 0.15) & (scene.x < 0.85) & (scene.y > 0.15) & (scene.y < 0.85)).all()


def test_both_directions_of_a_pair_have_the_same_distribution() -> None:
    scenes = _scenes(8, 6000)
    for forwards, backwards, field in ((0, 1, "x"), (2, 3, "y"), (6, 7, "radius")):
        first = [getattr(s, field)[0] for s in scenes if s.labels["verb"] == forwards]
        last = [getattr(s, field)[-1] for s in scenes if s.labels["verb"] == backwards]
        error = np.sqrt(np.var(first) / len(first) + np.var(last) / len(last))
        assert abs(np.mean(first) - np.mean(last)) < 4 * error


@pytest.mark.parametrize("task", TASKS)
def test_all_classes_occur_equally_often(task: str) -> None:
    drawn = [TASKS[task].draw(np.random.default_rng(seed), 8).labels for seed in range(4000)]
    for name, classes in TASKS[task].classes.items():
        counts = np.bincount([labels[name] for labels in drawn], minlength=len(classes))
        expected = 4000 / len(classes)
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def _single(shape: int, angle: float, radius: float) -> Scene:
    one = np.ones(1, np.float32)
    shown = np.full(1, shape, np.int64)
    half, ink = 0.5 * one, np.ones(3, np.float32)
    return Scene(shown, half, half, radius * one, angle * one, ink, np.zeros((3, 3, 3), np.float32), {})


def _drawn(shape: int, angle: float, radius: float) -> np.ndarray:
    """Returns the share of each pixel (64, 64) that the shape covers, 0..1."""
    return render(_single(shape, angle, radius), 64, 0.0, np.random.default_rng(0))[0, 0] / 255.0


def test_a_growing_angle_turns_clockwise_on_the_screen() -> None:
    level, turned = (np.argwhere(_drawn(0, angle, 0.4)[:, 48] > 0.5).mean() for angle in (0.0, 0.5))
    assert turned > level + 5  # the right end of the bar goes down, and rows are counted downwards


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_area_is_antialiased_and_scales_with_the_square_of_the_radius(shape: int) -> None:
    small, large = (_drawn(shape, 0.3, radius).sum() for radius in (0.15, 0.3))
    assert large / small == pytest.approx(4, rel=0.04)


def test_no_noun_is_another_one_turned_or_scaled() -> None:
    """Matches each shape with the others over angles and radii: the best match leaves a large part uncovered."""
    for target in range(len(NOUNS)):
        reference = _drawn(target, 0.0, 0.3)
        for other in set(range(len(NOUNS))) - {target}:
            tried = (_drawn(other, a, r) for a in np.linspace(0, 2 * np.pi, 24) for r in np.linspace(0.15, 0.45, 9))
            overlap = max(np.minimum(m, reference).sum() / np.maximum(m, reference).sum() for m in tried)
            assert overlap < 0.8


def test_noise_has_the_stated_standard_deviation() -> None:
    scene = TASKS["static"].draw(np.random.default_rng(3), 64)
    scene.ink[:], scene.background[:] = 0.5, 0.5
    frames = render(scene, 16, 0.1, np.random.default_rng(4)) / 255.0
    assert frames.std() == pytest.approx(0.1, rel=0.02)
    assert frames.mean() == pytest.approx(0.5, abs=0.002)
    assert render(scene, 16, 0.0, np.random.default_rng(4)).std() == 0


def test_empty_frames_show_the_background_only() -> None:
    scene = TASKS["delay"].draw(np.random.default_rng(0), 6)
    assert (scene.shapes[1:-1] == NOTHING).all()
    frames = render(scene, 16, 0.0, np.random.default_rng(0))
    assert all((first == second).all() for first, second in pairwise(frames[1:-1]))
    assert (frames[0] != frames[1]).any()
    assert (frames[-1] != frames[1]).any()
