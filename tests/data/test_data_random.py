"""Noise clips are a function of data seed, split and index alone, uniform, of any size."""

from __future__ import annotations

import pytest
import torch

from harness.data import ceilings, data_identity, open_split
from harness.data.sets.random import RandomConfig
from harness.nn.config import ModelConfig

MODEL = ModelConfig(num_frames=3, crop_size=20)
DATA = RandomConfig(name="random", num_classes=7, num_views=2, num_test=50)


def test_shapes_and_labels() -> None:
    source = open_split(DATA, MODEL, "test", seed=0)
    batch = source.views([0, 4])
    assert len(source) == 50
    assert source.labels == {"label": 7}
    assert batch.clips.shape == (2, source.num_views, 3, 3, 20, 20)
    assert batch.clips.dtype == torch.uint8
    assert batch.labels["label"].tolist() == source.train_batch([0, 4], 0).labels["label"].tolist()


def test_a_clip_depends_on_its_index_alone() -> None:
    source, again = (open_split(DATA, MODEL, "train", seed=seed) for seed in (0, 1))
    among = source.train_batch([3, 5], 0).clips[1]
    assert torch.equal(among, again.train_batch([5], 9).clips[0])
    assert not torch.equal(among, source.train_batch([4], 0).clips[0])
    assert not torch.equal(among, open_split(DATA, MODEL, "val", seed=0).train_batch([5], 0).clips[0])
    with pytest.raises(IndexError, match="clip 50 of a test split of 50"):
        open_split(DATA, MODEL, "test", 0).views([50])


def test_pixels_and_labels_are_uniform() -> None:
    batch = open_split(DATA, MODEL, "train", seed=0).train_batch(range(200), 0)
    counts = torch.bincount(batch.labels["label"], minlength=7)
    assert counts.min() > 12
    assert abs(float(batch.clips.float().mean()) - 127.5) < 0.5


def test_identity_and_ceiling() -> None:
    assert data_identity(DATA) == "random/v1"
    assert ceilings(DATA) == {"chance": {"label": 1 / 7}}
