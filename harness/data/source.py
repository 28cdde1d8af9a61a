"""What every data set gives to training and evaluation: numbered clips as uint8 tensors, with their labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:  # planning imports this file and must not pay for torch
    import numpy as np
    import torch

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
#: called with the name of the unit of work that was just done: "evaluation batch" or "clip"
Alive = Callable[[str], None]


def say_nothing(unit: str) -> None:
    """Ignores a sign of life."""


class Batch(NamedTuple):
    """Clips with their labels.

    `clips` is uint8, (B, T, C, H, W) for training and (B, V, T, C, H, W) for evaluation; every tensor of
    `labels` is int64, (B,).
    """

    clips: torch.Tensor
    labels: dict[str, torch.Tensor]

    @classmethod
    def of(cls, clips: np.ndarray | torch.Tensor, labels: Mapping[str, Sequence[int]]) -> Batch:
        """Makes a batch of uint8 clips (array or tensor) and of one class number per clip and label."""
        import torch

        tensors = {name: torch.tensor(values, dtype=torch.int64) for name, values in labels.items()}
        return cls(torch.as_tensor(clips), tensors)


class ClipSource(ABC):
    """One split of a data set.

    `labels` maps each label to its number of classes; `num_views` is test clips times crops. A result depends on
    the configuration, the seed given at construction and the arguments, never on earlier calls or on the other
    members of the batch.
    """

    labels: dict[str, int]
    num_views: int
    #: a source whose clips take long calls it after each of them; the code that opened the source may set it
    alive: Alive = staticmethod(say_nothing)

    @abstractmethod
    def __len__(self) -> int:
        """Returns the number of clips (of videos) in this split."""

    @abstractmethod
    def train_batch(self, indices: Sequence[int] | np.ndarray, draw: int) -> Batch:
        """Returns clips (B, T, C, H, W) for training; `draw`, the epoch, selects random sampling and augmentation."""

    @abstractmethod
    def views(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Returns all views (B, V, T, C, H, W) for evaluation, without randomness; view = clip * num_crops + crop."""
