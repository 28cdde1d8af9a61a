"""Videos in files: the right frames in the right view, and equal results for every way to request a clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data import ClipSource, decode, open_split
from harness.data.export import write_video
from harness.data.sampling import dense_test, uniform_test
from harness.data.sets import video_list
from harness.data.sets.video_list import VideoListConfig
from harness.errors import UserError
from harness.nn.config import ModelConfig

LENGTH, HEIGHT, WIDTH = 40, 16, 30
Make = Callable[..., VideoListConfig]
Open = Callable[..., ClipSource]


def _frames(offset: int) -> np.ndarray:
    """Returns frames whose red is their number plus an offset, green the row and blue the column."""
    frames = np.zeros((LENGTH, HEIGHT, WIDTH, 3), np.uint8)
    frames[..., 0] = np.arange(LENGTH)[:, None, None] + offset
    frames[..., 1] = np.arange(HEIGHT)[None, :, None]
    frames[..., 2] = np.arange(WIDTH)[None, None, :]
    return frames


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with four training videos and one of val and test each, written without loss."""
    lines = {"val": ["8 clip.mp4 1"], "test": ["9 clip.mp4 3"]}
    lines["train"] = [f"{name} clip.mp4 {name}" for name in range(4)]
    for split, content in lines.items():
        (tmp_path / f"{split}.csv").write_text("\n".join(content))
        for line in content:
            number = int(line.split()[0])
            write_video(tmp_path / f"{number} clip.mp4", _frames(number * 20))
    return tmp_path


@pytest.fixture
def opened(folder: Path, make_config: Make, model: ModelConfig) -> Open:
    def open_it(split: str = "train", seed: int = 0, **fields: object) -> ClipSource:
        return open_split(make_config(folder, **fields), model, split, seed)  # type: ignore[arg-type]

    return open_it


def test_views_are_clips_times_crops_of_the_defined_frames(opened: Open) -> None:
    source = opened("test", num_clips=3, num_crops=3, sampling_rate=5)
    assert source.num_views == 9
    assert source.labels == {"class": 4}
    clips, labels = source.views([0])
    assert clips.shape == (1, 9, 4, 3, 16, 16)
    assert labels["class"].tolist() == [3]
    for clip in range(3):
        for crop, left in enumerate((0, 7, 14)):
            view = clips[0, clip * 3 + crop]
            assert (view[:, 0, 0, 0] - 180).tolist() == dense_test(LENGTH, 4, 20.0, clip, 3).tolist()
            assert (int(view[0, 1, 0, 0]), int(view[0, 2, 0, 0])) == (0, left)


def test_uniform_views(opened: Open) -> None:
    clips = opened("test", sampling="uniform").views([0]).clips
    assert (clips[0, 0, :, 0, 3, 3] - 180).tolist() == uniform_test(LENGTH, 4, 0, 1).tolist()


@pytest.mark.parametrize("sampling", ["dense", "uniform"])
def test_training_clips_depend_on_seed_draw_and_index_only(opened: Open, sampling: str) -> None:
    rate = 2 if sampling == "dense" else 1
    fields = {"sampling": sampling, "sampling_rate": rate, "scale_jitter": [1.0, 1.5], "flip": True}
    source = opened(**fields)
    batch = source.train_batch(np.array([2, 0, 3]), 5)
    source.train_batch([1], 5)
    for place, index in enumerate([2, 0, 3]):
        assert torch.equal(opened(**fields).train_batch([index], 5).clips[0], batch.clips[place])
    assert batch.labels["class"].tolist() == [2, 0, 3]
    others = [opened(**fields).train_batch([2], 6), opened(seed=1, **fields).train_batch([2], 5)]
    assert not any(torch.equal(other.clips[0], batch.clips[0]) for other in others)


def test_draws_visit_different_times_and_places(opened: Open) -> None:
    source = opened(sampling_rate=2)
    corners = torch.stack([source.train_batch([0], draw).clips[0, 0, :, 0, 0] for draw in range(60)])
    assert len(corners[:, 0].unique()) > 15
    assert len(corners[:, 2].unique()) > 8


def test_all_frames_of_a_clip_share_scale_crop_and_flip(opened: Open) -> None:
    source = opened(scale_jitter=[1.0, 2.0], flip=True)
    for draw in range(20):
        places = source.train_batch([1], draw).clips[0, :, 1:]
        assert torch.equal(places, places[:1].expand_as(places))


def test_memory_changes_nothing_and_is_bounded(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    real = decode.read_frames
    monkeypatch.setattr(decode, "read_frames", lambda path, places: reads.append(1) or real(path, places))
    kept = opened()
    first = kept.train_batch(range(4), 0).clips
    assert torch.equal(kept.train_batch(range(4), 0).clips, first)
    assert len(reads) == 4
    monkeypatch.setattr(video_list, "CACHE_BYTES", 2 * LENGTH * HEIGHT * WIDTH * 3)
    bounded = opened()
    assert all(torch.equal(bounded.train_batch(range(4), 0).clips, first) for _ in range(2))
    assert len(reads) == 4 + 4 + 2


def test_broken_video_ends_the_run_with_its_name(opened: Open, folder: Path) -> None:
    (folder / "2 clip.mp4").write_bytes(b"broken")
    source = opened()
    source.train_batch([0, 1, 3], 0)
    with pytest.raises(UserError, match=r"2 clip\.mp4: cannot be opened as a video"):
        source.train_batch([0, 1, 2, 3], 0)


def test_scale_below_the_crop_is_refused(opened: Open) -> None:
    with pytest.raises(
        UserError, match=r"data\.scale_size: a short side of 12 pixels holds no crop of 16; at least 16"
    ):
        opened(scale_size=12)


def test_large_videos_are_scaled(opened: Open, folder: Path) -> None:
    write_video(folder / "9 clip.mp4", np.full((4, 64, 96, 3), 50, np.uint8))
    clips = opened("test").views([0]).clips
    assert clips.shape == (1, 1, 4, 3, 16, 16)
    assert clips.unique().tolist() == [50]
