"""Trains one trial with several processes: each takes its share of every batch, and gradients are averaged.

Rank 0 alone reads and writes checkpoints. Ranks communicate through a `Group`. The methods of `SINGLE_PROCESS`, the
group of one process, are no-ops, so that one training loop serves one process and many.
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
    """Another rank of the trial failed; carries its status (`harness.record.STATUSES`) and message."""

    def __init__(self, status: str, message: str):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Group:
    """The processes of one trial, seen from one of them. All ranks must call every method but `share` and `seed`."""

    rank: int = 0
    size: int = 1

    def share(self, batch_size: int) -> slice:
        """Returns the slice of a batch for this rank; equal shares make the mean over ranks the mean of the batch."""
        each = batch_size // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Wraps the model so that its backward pass averages the gradients over the ranks.

        Every step searches for unused parameters: those of a token that the readout does not read get no gradient, as
        with one process, and no variant has to declare them. The search also keeps the gradient buckets in their
        initial layout, so that a resumed trial adds gradients in the same order.
        """
        if self.size == 1:
            return model
        return nn.parallel.DistributedDataParallel(_WithUnused(model), find_unused_parameters=True)

    def mean(self, values: Tensor) -> Tensor:
        """Returns the mean over the ranks, bit-identical on all of them."""
        if self.size > 1:
            dist.all_reduce(values)
            values = values / self.size
        return values

    def any(self, flag: bool) -> bool:
        """Returns True on all ranks if the flag is set on any."""
        if self.size == 1:
            return flag
        flags = torch.tensor(int(flag))
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags)

    def gather(self, item: T) -> list[T]:
        """Returns the items of all ranks, ordered by rank, on rank 0; an empty list on other ranks."""
        if self.size == 1:
            return [item]
        items: list[Any] | None = [None] * self.size if self.rank == 0 else None
        dist.gather_object(item, items)
        return items or []

    def from_first(self, make: Callable[[], T]) -> T:
        """Calls `make` on rank 0 and returns its result on all ranks.

        Reading a file goes through rank 0, because a shared folder may show other nodes an older version for a while.
        """
        if self.size == 1:
            return make()
        items: list[Any] = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(items)
        return items[0]

    def seed(self, seed: int) -> None:
        """Seeds the random numbers of each rank differently; rank 0 keeps those of a single process."""
        if self.rank:
            torch.manual_seed(int(np.random.SeedSequence((seed, self.rank)).generate_state(1, np.uint64)[0] >> 1))


SINGLE_PROCESS = Group()


class _WithUnused(nn.Module):
    """Adds an unused parameter to a model; without one, torch warns in every log that the search is unnecessary."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.unused = nn.Parameter(torch.zeros((), device=next(model.parameters()).device))

    def forward(self, clip: Tensor) -> Mapping[str, Tensor]:
        logits: Mapping[str, Tensor] = self.model(clip)
        return logits


def open_store(file: Path, size: int) -> dist.Store:
    """Opens the rendezvous store: a new file on a file system that all ranks share."""
    store = dist.FileStore(str(file), size)
    store.set_timeout(RENDEZVOUS_TIMEOUT)
    return store


@contextmanager
def joined(store: dist.Store, rank: int, size: int, device: str) -> Iterator[Group]:
    """Joins the process group. GPU tensors use NCCL, everything else uses gloo.

    After an exception the group stays open, because closing it would wait for ranks that may have died.

    Raises:
        RuntimeError: another rank did not join or has left (an error of torch).
    """
    if device == "cuda":
        torch.cuda.set_device(_gpu_index(rank))
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=COLLECTIVE_TIMEOUT)
    yield Group(rank, size)
    dist.destroy_process_group()


def _gpu_index(rank: int) -> int:
    """Returns the GPU index of this rank among the visible GPUs: all of its node, or those assigned by the launcher."""
    on_this_node = os.environ.get("LOCAL_RANK", str(rank))
    return int(on_this_node) % torch.cuda.device_count()
