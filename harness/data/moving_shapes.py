"""The embedded data set: clips drawn from (data seed, split, index), without files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.render import render
from harness.data.scenes import TASKS, exchange
from harness.data.source import SPLITS, Batch, ClipSource, Split
from harness.errors import Fault, UserError
from harness.nn.config import ModelConfig
from harness.sweep.schema import MovingShapesConfig

MIN_CROP_SIZE = 12
MIN_NUM_FRAMES = 2
_INDEX_BITS = 56


class MovingShapes(ClipSource):
    """One split of moving_shapes. Every clip exists once: `draw` and the trial's seed change nothing.

    Raises:
        UserError: the frames are too few or too small for the task to be seen in them.
    """

    def __init__(self, data: MovingShapesConfig, model: ModelConfig, split: Split) -> None:
        _check(data, model)
        self._data, self._model, self._split = data, model, split
        self._task = TASKS[data.task]
        self._group = 1 if split == "train" else self._task.group
        self._length = {"train": data.num_train, "val": data.num_val, "test": data.num_test}[split]
        self.labels = {name: len(classes) for name, classes in self._task.classes.items()}
        self.num_views = 1

    def __len__(self) -> int:
        return self._length

    def clip(self, index: int) -> tuple[NDArray[np.uint8], dict[str, int]]:
        """One clip (T, 3, H, W) with its labels."""
        if not 0 <= index < self._length:
            raise IndexError(f"clip {index} of a {self._split} split of {self._length}")
        group, member = divmod(index, self._group)
        rng = _generator(self._data.seed, self._split, group)
        scene = self._task.draw(rng, self._model.num_frames)
        if self._task.closure == "exchange" and member:
            scene = exchange(scene, member)
        frames = render(scene, self._model.crop_size, self._data.noise, rng)
        if self._task.closure == "reversal" and member:
            return frames[::-1], self._task.mirrored(scene.labels)
        return frames, scene.labels

    def train_batch(self, indices: Sequence[int] | np.ndarray, draw: int) -> Batch:
        """Clips (B, T, 3, H, W); `draw` is not used, because nothing is augmented."""
        drawn = [self.clip(int(index)) for index in indices]
        clips = np.stack([frames for frames, _ in drawn])
        labels = {name: torch.tensor([label[name] for _, label in drawn], dtype=torch.int64) for name in self.labels}
        return Batch(torch.from_numpy(clips), labels)

    def views(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Clips (B, 1, T, 3, H, W): there is one view."""
        clips, labels = self.train_batch(indices, 0)
        return Batch(clips[:, None], labels)


def _generator(seed: int, split: Split, group: int) -> np.random.Generator:
    """A stream of its own for each clip, or group of clips, of each split of each data seed."""
    place = (SPLITS.index(split) << _INDEX_BITS) | group
    return np.random.Generator(np.random.Philox(key=np.array([seed, place], np.uint64)))


def _check(data: MovingShapesConfig, model: ModelConfig) -> None:
    faults = []
    if model.num_frames < MIN_NUM_FRAMES:
        faults.append(("model.num_frames", model.num_frames, f"is {MIN_NUM_FRAMES} frames or more"))
    if model.crop_size < MIN_CROP_SIZE:
        faults.append(("model.crop_size", model.crop_size, f"is {MIN_CROP_SIZE} pixels or more"))
    if data.seed >= 2**64:
        faults.append(("data.seed", data.seed, "is below 2**64"))
    if max(data.num_train, data.num_val, data.num_test) >= 2**_INDEX_BITS:
        faults.append(("data.num_train", data.num_train, f"is, as every split, below 2**{_INDEX_BITS} clips"))
    if faults:
        message = "{} does not fit moving_shapes: it {}"
        raise UserError(Fault("", path, message.format(given, rule)) for path, given, rule in faults)
