"""Energy of a repeated call in joules per clip, from a hardware meter: RAPL for the CPU package, NVML for the GPU.

A meter counts the whole package or board, including idle power and other processes. Without a meter the result is
None, never 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from harness.measure.machine.gpu import nvml_of_current_gpu

RAPL = Path("/sys/class/powercap")
WINDOW_SECONDS = 3.0  # the meters are updated every few milliseconds to tenths of a second


class Meter(Protocol):
    """A counter of energy."""

    name: str

    def joules(self) -> float:
        """Return the energy counted so far."""
        ...


class RaplMeter:
    """Sum over the CPU packages. One counter overflow between two readings is corrected, more are not."""

    name = "rapl"

    def __init__(self, folder: Path = RAPL):
        self.domains = sorted(path for path in folder.glob("intel-rapl:*") if path.name.count(":") == 1)
        self.last = [self._micro(domain, "energy_uj") for domain in self.domains]
        self.total = 0

    @staticmethod
    def _micro(domain: Path, name: str) -> int:
        return int((domain / name).read_text())

    def joules(self) -> float:
        """Return the energy since the meter was made."""
        for index, domain in enumerate(self.domains):
            now = self._micro(domain, "energy_uj")
            change = now - self.last[index]
            self.total += change if change >= 0 else change + self._micro(domain, "max_energy_range_uj")
            self.last[index] = now
        return self.total / 1e6


class NvmlMeter:
    """Energy of the current GPU since the driver was loaded."""

    name = "nvml"

    def __init__(self) -> None:
        nvml, self.handle = nvml_of_current_gpu()
        self._read: Callable[[Any], int] = nvml.nvmlDeviceGetTotalEnergyConsumption
        self.joules()

    def joules(self) -> float:
        """Return the energy since the driver was loaded."""
        return self._read(self.handle) / 1e3


def find_meter(device: str) -> Meter | None:
    """Return the meter of the device, or None if there is none or it cannot be read."""
    if device == "cuda":
        try:
            return NvmlMeter()
        except Exception as error:  # no pynvml, or one of its many errors: no meter, and the log says why
            print(f"no energy meter: {type(error).__name__}: {error}", flush=True)
            return None
    try:
        meter = RaplMeter()
    except OSError:  # readable by root only on most systems
        return None
    return meter if meter.domains else None


def joules_per_clip(
    call: Callable[[], object], batch_size: int, device: str, *, meter: Meter | None = None,
    window_seconds: float = WINDOW_SECONDS,
) -> tuple[float | None, str | None]:  # fmt: skip
    """Return (joules per clip, name of the meter) over calls that fill the window; (None, None) without a meter."""
    found = meter or find_meter(device)
    if found is None:
        return None, None
    _wait(device)
    before, start, calls = found.joules(), time.perf_counter(), 0
    while time.perf_counter() - start < window_seconds:
        call()
        calls += 1
        _wait(device)
    return (found.joules() - before) / (calls * batch_size), found.name


def _wait(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
