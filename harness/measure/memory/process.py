"""Peak memory of a call, of the process or the device; use it in a process that does nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.measure.memory.tensors import process_bytes

NUM_CALLS = 2  # the second training step has the gradients and optimizer state of the first


def measured_peak(make: Callable[[], Callable[[], object]], device: str) -> dict[str, Any]:
    """Measure the peak bytes of two calls of what `make` returns, including all that `make` allocates.

    `peak_bytes`: on CPU, the high-water mark of the process minus its size before `make` (libraries loaded and used
    once); on CUDA, that of the allocator. `reserved_bytes`: what the CUDA allocator reserved, None on CPU.

    Raises:
        RuntimeError: the system has no /proc.
    """
    return _on_cuda(make) if device == "cuda" else _on_cpu(make)


def _on_cuda(make: Callable[[], Callable[[], object]]) -> dict[str, Any]:
    free_before, _ = torch.cuda.mem_get_info()
    torch.cuda.reset_peak_memory_stats()
    _repeat(make())
    torch.cuda.synchronize()
    free_after, _ = torch.cuda.mem_get_info()
    return {
        "peak_bytes": int(torch.cuda.max_memory_allocated()),
        "reserved_bytes": int(torch.cuda.max_memory_reserved()),
        "process_bytes": free_before - free_after,
        "method": "torch.cuda.max_memory_allocated",
    }


def _on_cpu(make: Callable[[], Callable[[], object]]) -> dict[str, Any]:
    _use_libraries()
    baseline = process_bytes("VmRSS")
    if baseline is None:
        raise RuntimeError("this system has no /proc/self/status: the memory of a process cannot be measured")
    _forget_high_water_mark()
    _repeat(make())
    peak = process_bytes("VmHWM") or 0
    return {
        "peak_bytes": peak - baseline,
        "reserved_bytes": None,
        "process_bytes": peak,
        "method": "VmHWM of a fresh process less its size before the model was made",
    }


def _repeat(call: Callable[[], object]) -> None:
    for _ in range(NUM_CALLS):
        call()


def _use_libraries() -> None:
    """Load the code of products, attention, backward passes and the optimizer, which is not part of the model."""
    layer = nn.Linear(32, 32)
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    x = layer(torch.ones(2, 4, 8, 32))
    nn.functional.scaled_dot_product_attention(x, x, x).sum().backward()
    optimizer.step()


def _forget_high_water_mark() -> None:
    """Reset VmHWM to the current size if the kernel allows it; the import of torch may have peaked higher."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return
