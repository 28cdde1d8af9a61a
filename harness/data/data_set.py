"""The base class of a data set: its configuration, its identity, its labels and its clips."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from harness.data.source import Alive, say_nothing
from harness.nn.config import ModelConfig, StrictConfig

if TYPE_CHECKING:
    from harness.data.source import ClipSource, Split

Ceilings = dict[str, dict[str, float]]


class DataSetConfig(StrictConfig):
    """Base of the `data:` block of a data set.

    A subclass declares `name: Literal["NAME"]` with the name of its file, and its own fields.
    """

    name: str


class DataProblem(NamedTuple):
    """Fields (dotted) that do not go together, the most likely culprit first, and the reason."""

    fields: tuple[str, ...]
    message: str


class DataSet(ABC):
    """One data set under one configuration.

    A file of `harness/data/sets/` defines one subclass. Planning imports it, so the file imports torch, PyAV and
    other heavy packages inside the methods that need them.
    """

    #: the fields of the `data:` block
    Config: ClassVar[type[DataSetConfig]]
    #: fields that say where the data lie, not what they are: no part of a trial's identity
    location_fields: ClassVar[frozenset[str]] = frozenset()

    #: a data set whose files take long to check calls it after each of them
    alive: Alive = staticmethod(say_nothing)

    def __init__(self, config: DataSetConfig) -> None:
        self.config = config

    @property
    @abstractmethod
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels of a clip, from the configuration alone: no file is read."""

    @abstractmethod
    def identity(self) -> str:
        """Returns what the data are: a version, or a hash of the files. It is part of every trial's identity.

        A change of a byte of a clip needs another identity.

        Raises:
            UserError: the data cannot be used.
        """

    def has_identity(self, identity: str) -> bool:
        """Returns whether the data are those of an identity, which an earlier version may have made in another way.

        Raises:
            UserError: the data cannot be used.
        """
        return self.identity() == identity

    def check_files(self) -> list[str]:
        """Reads every file of the data to its end, for `data check`; returns lines about it, none without files.

        Raises:
            UserError: files are damaged.
        """
        return []

    @abstractmethod
    def open(self, model: ModelConfig, split: Split, seed: int) -> ClipSource:
        """Opens one split; `seed` is the trial's and decides random sampling and augmentation, nothing else.

        Raises:
            UserError: the data cannot be used.
        """

    def problems(self, model: ModelConfig) -> Iterator[DataProblem]:
        """Yields settings that do not fit each other or the model; checked at planning and before a split is opened."""
        yield from ()

    def resolved(self, model: ModelConfig) -> DataSetConfig:
        """Returns the configuration with the defaults filled in that depend on the model."""
        return self.config

    def ceilings(self) -> Ceilings:
        """Returns kind of model -> label -> best accuracy (fraction) on the test split, as far as it is known.

        Raises:
            UserError: the data cannot be used.
        """
        return {}
