"""Data sets: embedded clips, lists of video files and noise, all as numbered uint8 clips with labels.

Importing this package does not import torch; `open_split` does.
"""

from __future__ import annotations

from harness.data import lists
from harness.data.scenes import TASKS, Ceilings
from harness.data.source import SPLITS, Batch, ClipSource, Split
from harness.nn.config import ModelConfig
from harness.sweep.schema import MovingShapesConfig, RandomConfig, VideoListConfig

__all__ = ["SPLITS", "Batch", "ClipSource", "Split", "ceilings", "data_identity", "open_split"]

# Of the generated clips; the settings that select among them are part of the configuration. Any change of a byte
# of a clip needs a new version.
MOVING_SHAPES_IDENTITY = "moving_shapes/v1"
RANDOM_IDENTITY = "random/v1"

Data = MovingShapesConfig | VideoListConfig | RandomConfig


def open_split(data_config: Data, model_config: ModelConfig, split: Split, seed: int) -> ClipSource:
    """Opens one split; `seed` is the trial's and decides random sampling and augmentation, nothing else.

    Raises:
        UserError: the data cannot be used, or do not fit the clip geometry of the model.
    """
    if isinstance(data_config, MovingShapesConfig):
        from harness.data.moving_shapes import MovingShapes

        return MovingShapes(data_config, model_config, split)
    if isinstance(data_config, RandomConfig):
        from harness.data.random_clips import RandomClips

        return RandomClips(data_config, model_config, split)
    from harness.data.video_list import VideoList

    return VideoList(data_config, model_config, split, seed)


def data_identity(data_config: Data) -> str:
    """What the data are, for the identity of a trial: a version, or a hash of the lists and of the sizes of all files.

    Raises:
        UserError: a list cannot be used, or files are missing.
    """
    if isinstance(data_config, RandomConfig):
        return RANDOM_IDENTITY
    return MOVING_SHAPES_IDENTITY if isinstance(data_config, MovingShapesConfig) else lists.identity(data_config)


def ceilings(data_config: Data) -> Ceilings:
    """Kind of model -> label -> best accuracy (fraction) it can reach on the test split, as far as that is known.

    Raises:
        UserError: a list cannot be used.
    """
    if isinstance(data_config, MovingShapesConfig):
        return TASKS[data_config.task].ceilings(data_config.num_test)
    if isinstance(data_config, RandomConfig):
        return {"chance": {"label": 1 / data_config.num_classes}}
    num_classes = data_config.num_classes or lists.read_lists(data_config).num_classes
    return {"chance": {lists.LABEL: 1 / num_classes}}
