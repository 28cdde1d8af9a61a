"""Crops, scales and flips: exact without interpolation, aligned over the frames of a clip."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.sets.video_list import VideoListConfig
from harness.data.transforms import TrainView, draw_train_view, eval_crops, scale_short_side, train_crop

LISTS = {"train_list": "a", "val_list": "b", "test_list": "c"}


def _places(height: int, width: int) -> torch.Tensor:
    """Returns a clip (2, 3, H, W) whose pixels hold their row (channel 0) and column (channel 1)."""
    rows = torch.arange(height, dtype=torch.uint8)[:, None].expand(height, width)
    columns = torch.arange(width, dtype=torch.uint8)[None, :].expand(height, width)
    return torch.stack([rows, columns, rows]).expand(2, 3, height, width)


def _corner(crop: torch.Tensor) -> tuple[int, int]:
    return int(crop[0, 0, 0, 0]), int(crop[0, 1, 0, 0])


def test_three_crops_slide_along_the_longer_side() -> None:
    wide = eval_crops(_places(16, 31), 16, 16, 3)
    assert [_corner(crop) for crop in wide] == [(0, 0), (0, 8), (0, 15)]
    tall = eval_crops(_places(30, 20), 20, 16, 3)
    assert [_corner(crop) for crop in tall] == [(0, 2), (7, 2), (14, 2)]


def test_one_crop_is_the_centre() -> None:
    assert eval_crops(_places(20, 30), 20, 16, 1).shape == (1, 2, 3, 16, 16)
    assert _corner(eval_crops(_places(20, 30), 20, 16, 1)[0]) == (2, 7)


def test_a_clip_of_the_right_size_keeps_its_bytes() -> None:
    clip = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(eval_crops(clip, 16, 16, 1)[0], clip)


@settings(max_examples=30, deadline=None)
@given(st.integers(8, 80), st.integers(8, 80), st.integers(4, 40))
def test_scaling_sets_the_short_side_and_keeps_the_ratio(height: int, width: int, size: int) -> None:
    scaled = scale_short_side(torch.full((1, 3, height, width), 77, dtype=torch.uint8), size)
    assert min(scaled.shape[-2:]) == size
    assert max(scaled.shape[-2:]) == max(height, width) * size // min(height, width)
    assert scaled.unique().tolist() == [77]


def test_scaling_down_averages_instead_of_skipping() -> None:
    stripes = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    stripes[..., ::2] = 255
    inner = scale_short_side(stripes, 8)[..., 1:-1].float()
    assert (inner - 127.5).abs().max() < 4


@given(st.integers(0, 2**32))
def test_training_crops_lie_inside_and_flip_only_when_allowed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = VideoListConfig(name="video_list", **LISTS, scale_size=20, scale_jitter=[1.0, 1.6])
    view = draw_train_view(data, 16, rng)
    assert 20 <= view.short_side <= 32
    assert not view.flip
    assert train_crop(_places(20, 30), view, 16).shape == (2, 3, 16, 16)


def test_random_crop_reaches_both_edges_and_flip_mirrors_columns() -> None:
    clip = _places(20, 30)
    assert _corner(train_crop(clip, TrainView(20, 0.0, 0.0, False), 16)) == (0, 0)
    assert _corner(train_crop(clip, TrainView(20, 0.999, 0.999, False), 16)) == (4, 14)
    plain = train_crop(clip, TrainView(20, 0.5, 0.5, False), 16)
    assert torch.equal(train_crop(clip, TrainView(20, 0.5, 0.5, True), 16), plain.flip(3))


def test_half_of_the_clips_are_flipped_where_flip_is_on() -> None:
    data = VideoListConfig(name="video_list", **LISTS, flip=True)
    flips = sum(draw_train_view(data, 16, np.random.default_rng(seed)).flip for seed in range(1000))
    assert 420 < flips < 580
