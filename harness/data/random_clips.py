"""Uniform noise with random labels, drawn from (data seed, split, index): clips of any size, without files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from harness.data.source import SPLITS, Batch, ClipSource, Split
from harness.nn.config import ModelConfig
from harness.sweep.schema import RandomConfig

LABEL = "label"


class RandomClips(ClipSource):
    """One split of noise. Every clip exists once: `draw` and the trial's seed change nothing."""

    def __init__(self, data: RandomConfig, model: ModelConfig, split: Split) -> None:
        self._data, self._split = data, split
        self._shape = (model.num_frames, 3, model.crop_size, model.crop_size)
        self._length = {"train": data.num_train, "val": data.num_val, "test": data.num_test}[split]
        self.labels = {LABEL: data.num_classes}
        self.num_views = data.num_views

    def __len__(self) -> int:
        return self._length

    def _draw(self, indices: Sequence[int] | np.ndarray, *views: int) -> Batch:
        """Clips (B, *views, T, 3, H, W), each from a stream of its own; the label comes before the pixels."""
        clips, labels = [], []
        for index in indices:
            if not 0 <= index < self._length:
                raise IndexError(f"clip {index} of a {self._split} split of {self._length}")
            rng = np.random.default_rng([self._data.seed, SPLITS.index(self._split), int(index)])
            labels.append(int(rng.integers(self._data.num_classes)))
            clips.append(rng.integers(0, 256, (*views, *self._shape), dtype=np.uint8))
        return Batch(torch.from_numpy(np.stack(clips)), {LABEL: torch.tensor(labels, dtype=torch.int64)})

    def train_batch(self, indices: Sequence[int] | np.ndarray, draw: int) -> Batch:
        """Clips (B, T, 3, H, W); `draw` is not used, because nothing is augmented."""
        return self._draw(indices)

    def views(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Views (B, V, T, 3, H, W); the first is the clip that `train_batch` gives."""
        return self._draw(indices, self.num_views)
