"""Peak memory of a call as the process or the device sees it; to be used in a process that does nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.measure.memory.tensors import process_bytes

NUM_CALLS = 2  # the second training step has gradients and optimizer state of the first


def measured_peak(make: Callable[[], Callable[[], object]], device: str) -> dict[str, Any]:
    """Peak bytes of two calls of what `make` returns, all that `make` allocates included.

    `peak_bytes`: on CPU the process's high-water mark less what it held before `make` (libraries loaded and used once);
    on CUDA the allocator's. `reserved_bytes` is what the CUDA allocator took from the device, None on CPU.

    Raises:
        RuntimeError: the system does not tell (no /proc).
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
    """Loads the code of products, attention, backward passes and the optimizer, which is no part of the model."""
    layer = nn.Linear(32, 32)
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    x = layer(torch.ones(2, 4, 8, 32))
    nn.functional.scaled_dot_product_attention(x, x, x).sum().backward()
    optimizer.step()


def _forget_high_water_mark() -> None:
    """Sets VmHWM back to the present size where the kernel allows it; the import of torch may have been above it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return
