"""Several processes train one trial: each takes its share of every batch, and their gradients are averaged.

Rank 0 leads: it alone reads and writes checkpoints. What the ranks must agree on goes through a `Group`; the group of
a single process, `SINGLE_PROCESS`, does nothing, so that the training loop is the same for one and for many.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

COLLECTIVE_TIMEOUT = timedelta(minutes=10)  # for one wait on another rank; a slow disk stays below it
RENDEZVOUS_TIMEOUT = timedelta(minutes=5)  # until all ranks have joined

T = TypeVar("T")


class RankFailed(Exception):
    """Another rank of the trial ended: with its status (`harness.record.STATUSES`) and message."""

    def __init__(self, status: str, message: str):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Group:
    """The processes of one trial, seen from one of them. Every method but `share` must be called by all ranks."""

    rank: int = 0
    size: int = 1

    def share(self, batch_size: int) -> slice:
        """This rank's clips of a batch; shares are equal, so the mean of the ranks' means is the batch's mean."""
        each = batch_size // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model for forward passes; going backward, it averages the gradients over the ranks.

        Unused parameters are looked for in every step: those of a token that the readout does not read keep no
        gradient, as with one process, and no variant need declare them. It also keeps the buckets of gradients as they
        were laid out at the start, so that a resumed trial adds up in the same order.
        """
        if self.size == 1:
            return model
        return nn.parallel.DistributedDataParallel(_WithUnused(model), find_unused_parameters=True)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the ranks, on all of them the same bits."""
        if self.size > 1:
            dist.all_reduce(values)
            values = values / self.size
        return values

    def any(self, flag: bool) -> bool:
        """Whether any rank says so."""
        if self.size == 1:
            return flag
        said = torch.tensor(int(flag))
        dist.all_reduce(said, dist.ReduceOp.MAX)
        return bool(said)

    def gather(self, item: T) -> list[T]:
        """The items of all ranks, by rank, on rank 0; nothing elsewhere."""
        if self.size == 1:
            return [item]
        items: list[Any] | None = [None] * self.size if self.rank == 0 else None
        dist.gather_object(item, items)
        return items or []

    def from_first(self, make: Callable[[], T]) -> T:
        """What rank 0 makes, on all ranks. A shared folder may show the others an older file for a while."""
        if self.size == 1:
            return make()
        items: list[Any] = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(items)
        return items[0]

    def seed(self, seed: int) -> None:
        """Gives each rank but the first, which goes on as a single process would, random numbers of its own."""
        if self.rank:
            torch.manual_seed(int(np.random.SeedSequence((seed, self.rank)).generate_state(1, np.uint64)[0] >> 1))


SINGLE_PROCESS = Group()


class _WithUnused(nn.Module):
    """A model with one parameter more, never used: without any, torch advises in every log not to look for them."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.unused = nn.Parameter(torch.zeros((), device=next(model.parameters()).device))

    def forward(self, clip: Tensor) -> Mapping[str, Tensor]:
        logits: Mapping[str, Tensor] = self.model(clip)
        return logits


def open_store(file: Path, size: int) -> dist.Store:
    """Where ranks meet: a file that all of them reach, of a name that no earlier attempt used."""
    store = dist.FileStore(str(file), size)
    store.set_timeout(RENDEZVOUS_TIMEOUT)
    return store


@contextmanager
def joined(store: dist.Store, rank: int, size: int, device: str) -> Iterator[Group]:
    """Meets the other ranks. GPU tensors go through NCCL, all else through gloo.

    The group is not closed after an exception: closing waits for ranks that may be gone, and the process is to end.

    Raises:
        RuntimeError: they did not come, or left (torch's own errors).
    """
    if device == "cuda":
        torch.cuda.set_device(_gpu_index(rank))
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=COLLECTIVE_TIMEOUT)
    yield Group(rank, size)
    dist.destroy_process_group()


def _gpu_index(rank: int) -> int:
    """This rank's GPU among those that the process may see: all of its node's, or the one that SLURM chose for it."""
    on_this_node = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", str(rank)))
    return int(on_this_node) % torch.cuda.device_count()
