"""Peak memory of a call in bytes: that of the CUDA allocator, or on CPU that of live tensor storages.

On CPU, libraries dominate the high-water mark of the process for small models. Instead, every storage that an operator
creates is tracked from allocation to release. Scratch space inside kernels is not seen.
"""

from __future__ import annotations

import resource
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

CUDA_METHOD = "torch.cuda.max_memory_allocated"
CPU_METHOD = "live tensor storages (scratch space inside kernels not seen)"


class StorageTracker(TorchDispatchMode):
    """Tracks the storages that operators create; `peak_bytes` is the largest total alive at one time."""

    def __init__(self, present: Iterable[Tensor] = ()):
        super().__init__()
        self.live_bytes = 0
        self.peak_bytes = 0
        self._known: set[int] = set()
        for tensor in present:
            self._follow(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for item in tree_iter(result):
            if isinstance(item, Tensor):
                self._follow(item)
        return result

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self._change(storage.nbytes())
        weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._change(-size)

    def _change(self, size: int) -> None:
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)


def _state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer | None) -> list[Tensor]:
    """Return parameters, buffers, gradients and optimizer state."""
    tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
    tensors += [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    if optimizer is not None:
        tensors += [
            value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)
        ]
    return tensors


def peak_bytes(
    call: Callable[[], Any], model: nn.Module, optimizer: torch.optim.Optimizer | None = None, device: str = "cpu"
) -> int:
    """Measure the peak bytes during `call`, including parameters, gradients, buffers and optimizer state."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated())
    with StorageTracker(_state_tensors(model, optimizer)) as tracker:
        call()
    return tracker.peak_bytes


def process_peak_bytes() -> int | None:
    """Return the high-water mark of the resident memory of this process (VmHWM); None without /proc.

    ru_maxrss is not used: a child process inherits that of its parent.
    """
    return process_bytes("VmHWM")


def process_bytes(field: str) -> int | None:
    """Return a size of this process from /proc/self/status, in bytes: VmHWM, VmRSS, VmSize; None if there is none."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    for line in status.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None


def limit_memory(num_bytes: int) -> None:
    """Limit this process to `num_bytes` more than now; a larger allocation fails as on a full machine.

    The limit is on address space: it includes shared libraries and thread stacks that come later, and untouched pages.
    """
    allowed = (process_bytes("VmSize") or 0) + num_bytes
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (allowed if hard == resource.RLIM_INFINITY else min(allowed, hard), hard))
