"""Peak rates of this machine, measured: highest matmul throughput over a few shapes, and memory bandwidth.

Bandwidth is that of the fastest copy of an array far larger than the caches. Threads and data type are those of the
models. The rates are what torch reaches, not those of a data sheet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field

from harness.record import RecordModel

GEMM_SIZES = {"cpu": (512, 1024, 1536), "cuda": (4096, 8192)}
COPY_BYTES = {"cpu": 2**28, "cuda": 2**31}


class MachinePeak(RecordModel):
    """Peak rates of the threads of this process, or of the GPU."""

    dtype: str
    device: str
    num_threads: int
    flops_per_s: float = Field(description="2 per multiply-accumulate; highest over the shapes")
    bytes_per_s: float = Field(description="bytes read and written by a copy")
    samples: dict[str, list[float]] = Field(description="shape -> rate of every repetition")

    @property
    def ridge_flops_per_byte(self) -> float:
        """Arithmetic intensity above which products, not memory, are the limit."""
        return self.flops_per_s / self.bytes_per_s


def measure_peak(precision: Literal["fp32", "bf16"], device: str, *, seconds: float = 0.5) -> MachinePeak:
    """Measure the peak rates for a precision; each shape runs for `seconds`, at least 3 times after one warm-up."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    samples: dict[str, list[float]] = {}
    for size in GEMM_SIZES[device]:
        a, b = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
        out = torch.empty(size, size, dtype=dtype, device=device)
        samples[f"gemm_{size}"] = _rates(partial(torch.mm, a, b, out=out), 2 * size**3, device, seconds)
    source = torch.ones(COPY_BYTES[device] // 4, device=device)
    target = torch.empty_like(source)
    samples["copy"] = _rates(lambda: target.copy_(source), 2 * COPY_BYTES[device], device, seconds)
    return MachinePeak(
        dtype=precision,
        device=device,
        num_threads=torch.get_num_threads(),
        flops_per_s=max(max(rates) for name, rates in samples.items() if name.startswith("gemm")),
        bytes_per_s=max(samples["copy"]),
        samples=samples,
    )


def _rates(call: Callable[[], Any], amount: int, device: str, seconds: float) -> list[float]:
    """Return the amount per second of each repetition."""
    call()
    rates: list[float] = []
    start = time.perf_counter()
    while len(rates) < 3 or time.perf_counter() - start < seconds:
        _wait(device)
        begin = time.perf_counter()
        call()
        _wait(device)
        rates.append(amount / (time.perf_counter() - begin))
    return rates


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def mfu(flops: float, milliseconds: float, peak: MachinePeak) -> float:
    """Return the model FLOPs utilisation, a fraction: FLOPs of the model without recomputation over those at peak."""
    return flops / (milliseconds / 1e3) / peak.flops_per_s
