"""Uniform noise with random labels, drawn from (data seed, split, index): clips of any size, without files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from harness.data.data_set import Ceilings, DataSet, DataSetConfig
from harness.data.source import SPLITS, Batch, ClipSource, Split
from harness.nn.config import ModelConfig, Positive

LABEL = "label"


class RandomConfig(DataSetConfig):
    """Uniform noise with random labels, of any size: for costs and smoke runs. There is nothing to learn."""

    name: Literal["random"]
    num_classes: Positive = Field(400, description="classes of the one label")
    num_views: Positive = Field(1, description="test: clips times crops of each video")
    num_train: Positive = Field(256, description="training clips")
    num_val: Positive = Field(64, description="validation clips")
    num_test: Positive = Field(64, description="test videos")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="which noise is drawn; trials share it")


class Random(DataSet):
    """Noise, identified by a version: the seed and the sizes are fields of the configuration."""

    Config = RandomConfig
    config: RandomConfig
    label_names = (LABEL,)

    def identity(self) -> str:
        return "random/v1"

    def ceilings(self) -> Ceilings:
        return {"chance": {LABEL: 1 / self.config.num_classes}}

    def open(self, model: ModelConfig, split: Split, seed: int) -> ClipSource:
        return RandomClips(self.config, model, split)


class RandomClips(ClipSource):
    """One split of noise. Every clip is fixed: `draw` and the trial's seed change nothing."""

    def __init__(self, data: RandomConfig, model: ModelConfig, split: Split) -> None:
        self._data, self._split = data, split
        self._shape = (model.num_frames, 3, model.crop_size, model.crop_size)
        self._length = {"train": data.num_train, "val": data.num_val, "test": data.num_test}[split]
        self.labels = {LABEL: data.num_classes}
        self.num_views = data.num_views

    def __len__(self) -> int:
        return self._length

    def train_batch(self, indices: Sequence[int] | np.ndarray, draw: int) -> Batch:
        """Returns clips (B, T, 3, H, W); `draw` is not used, because nothing is augmented."""
        return self._draw(indices)

    def views(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Returns views (B, V, T, 3, H, W); the first is the clip that `train_batch` gives."""
        return self._draw(indices, self.num_views)

    def _draw(self, indices: Sequence[int] | np.ndarray, *views: int) -> Batch:
        """Draws clips (B, *views, T, 3, H, W), each from its own stream; the label comes before the pixels."""
        clips, labels = [], []
        for index in indices:
            if not 0 <= index < self._length:
                raise IndexError(f"clip {index} of a {self._split} split of {self._length}")
            rng = np.random.default_rng([self._data.seed, SPLITS.index(self._split), int(index)])
            labels.append(int(rng.integers(self._data.num_classes)))
            clips.append(rng.integers(0, 256, (*views, *self._shape), dtype=np.uint8))
        return Batch.of(np.stack(clips), {LABEL: labels})
