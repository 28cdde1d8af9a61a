"""Data sets: generated clips, lists of video files and noise, all as numbered uint8 clips with labels.

Importing this package does not import torch; opening a split does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.data.data_set import Ceilings, DataSet, DataSetConfig
from harness.data.sets import data_sets
from harness.data.source import SPLITS, Alive, Batch, ClipSource, Split, say_nothing
from harness.errors import Fault, UserError
from harness.nn.config import ModelConfig

__all__ = [
    "SPLITS",
    "Batch",
    "ClipSource",
    "DataSet",
    "DataSetConfig",
    "Split",
    "ceilings",
    "data_identity",
    "data_set",
    "has_identity",
    "open_split",
    "scored_labels",
]


def data_set(data: DataSetConfig | Mapping[str, Any]) -> DataSet:
    """Returns the data set of a configuration, or of the fields of one."""
    if isinstance(data, DataSetConfig):
        return data_sets()[data.name](data)
    found = data_sets()[data["name"]]
    return found(found.Config.model_validate(dict(data)))


def open_split(data: DataSetConfig, model: ModelConfig, split: Split, seed: int) -> ClipSource:
    """Opens one split; `seed` is the trial's and decides random sampling and augmentation, nothing else.

    Raises:
        UserError: the data cannot be used, or do not fit the clip geometry of the model.
    """
    opened = data_set(data)
    faults = [Fault("", problem.fields[0], problem.message) for problem in opened.problems(model)]
    if faults:
        raise UserError(faults)
    return opened.open(model, split, seed)


def data_identity(data: DataSetConfig) -> str:
    """Returns what the data are, for the identity of a trial: a version, or a hash of lists and files.

    Raises:
        UserError: a list cannot be used, or files are missing.
    """
    return data_set(data).identity()


def has_identity(data: DataSetConfig, identity: str, alive: Alive = say_nothing) -> bool:
    """Returns whether the data are those of an identity that this or an earlier version made.

    `alive` is called after each file, where files are read.

    Raises:
        UserError: as `data_identity`.
    """
    found = data_set(data)
    found.alive = alive
    return found.has_identity(identity)


def scored_labels(data: DataSetConfig | Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the labels whose accuracy a record of this data has: verb and noun are scored as a pair (action) too."""
    names = data_set(data).label_names
    pair = ("action",) if {"verb", "noun"} <= set(names) else ()
    return tuple(sorted((*pair, *names)))


def ceilings(data: DataSetConfig) -> Ceilings:
    """Returns kind of model -> label -> best accuracy (fraction) on the test split, as far as it is known.

    Raises:
        UserError: a list cannot be used.
    """
    return data_set(data).ceilings()
