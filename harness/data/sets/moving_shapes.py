"""The embedded data set: clips drawn from (data seed, split, index), without files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from harness.data.data_set import Ceilings, DataProblem, DataSet, DataSetConfig
from harness.data.render import render
from harness.data.scenes import TASKS, exchange
from harness.data.source import SPLITS, Batch, ClipSource, Split
from harness.nn.config import ModelConfig, Positive

MIN_CROP_SIZE = 12
MIN_NUM_FRAMES = 2
_INDEX_BITS = 56


class MovingShapesConfig(DataSetConfig):
    """Embedded clips, generated from (seed, index): no files, no download."""

    name: Literal["moving_shapes"]
    task: Literal["motion", "order", "cyclic", "delay", "static"] = Field(
        "motion", description="what has to be read from the clip; docs/data.md says what each task needs"
    )
    num_train: Positive = Field(32768, description="training clips")
    num_val: Annotated[int, Field(ge=2, multiple_of=2)] = Field(512, description="validation clips (even)")
    num_test: Annotated[int, Field(ge=2, multiple_of=2)] = Field(
        2000, description="test clips (even: the split is closed under time reversal)"
    )
    noise: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.15, description="standard deviation of the pixel noise, in units of the pixel range 0..1"
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="which data set is generated; trials share it")


class MovingShapes(DataSet):
    """Generated clips, identified by a version: what selects among them is part of the configuration."""

    Config = MovingShapesConfig
    config: MovingShapesConfig

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(TASKS[self.config.task].classes)

    def identity(self) -> str:
        return "moving_shapes/v1"

    def ceilings(self) -> Ceilings:
        return TASKS[self.config.task].ceilings(self.config.num_test)

    def problems(self, model: ModelConfig) -> Iterator[DataProblem]:
        data = self.config
        if model.num_frames < MIN_NUM_FRAMES:
            yield _problem("model.num_frames", model.num_frames, f"{MIN_NUM_FRAMES} frames or more")
        if model.crop_size < MIN_CROP_SIZE:
            yield _problem("model.crop_size", model.crop_size, f"{MIN_CROP_SIZE} pixels or more")
        if data.seed >= 2**64:
            yield _problem("data.seed", data.seed, "a seed below 2**64")
        for split in SPLITS:
            if (length := _length(data, split)) >= 2**_INDEX_BITS:
                yield _problem(f"data.num_{split}", length, f"fewer than 2**{_INDEX_BITS} clips in each split")

    def open(self, model: ModelConfig, split: Split, seed: int) -> ClipSource:
        return MovingShapesClips(self.config, model, split)


class MovingShapesClips(ClipSource):
    """One split of moving_shapes. Every clip is fixed: `draw` and the trial's seed change nothing."""

    def __init__(self, data: MovingShapesConfig, model: ModelConfig, split: Split) -> None:
        self._data, self._model, self._split = data, model, split
        self._task = TASKS[data.task]
        self._group = 1 if split == "train" else self._task.group
        self._length = _length(data, split)
        self.labels = {name: len(classes) for name, classes in self._task.classes.items()}
        self.num_views = 1

    def __len__(self) -> int:
        return self._length

    def clip(self, index: int) -> tuple[NDArray[np.uint8], dict[str, int]]:
        """Returns one clip (T, 3, H, W) with its labels."""
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
        """Returns clips (B, T, 3, H, W); `draw` is not used, because nothing is augmented."""
        drawn = [self.clip(int(index)) for index in indices]
        clips = np.stack([frames for frames, _ in drawn])
        return Batch.of(clips, {name: [label[name] for _, label in drawn] for name in self.labels})

    def views(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Returns clips (B, 1, T, 3, H, W): there is one view."""
        clips, labels = self.train_batch(indices, 0)
        return Batch(clips[:, None], labels)


def _length(data: MovingShapesConfig, split: Split) -> int:
    return {"train": data.num_train, "val": data.num_val, "test": data.num_test}[split]


def _generator(seed: int, split: Split, group: int) -> np.random.Generator:
    """Returns the random stream of one clip, or group of clips, of one split of one data seed."""
    place = (SPLITS.index(split) << _INDEX_BITS) | group
    return np.random.Generator(np.random.Philox(key=np.array([seed, place], np.uint64)))


def _problem(field: str, given: int, needed: str) -> DataProblem:
    return DataProblem((field,), f"moving_shapes needs {needed}, not {given}")
