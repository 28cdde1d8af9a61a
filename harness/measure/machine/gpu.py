"""State of the current GPU from NVML: clocks, power, throttling, other processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

#: bits of NVML's clock event reasons (nvml.h) that make a timing doubtful; idle or at the set clock is fine
SLOWDOWNS = {
    0x04: "the power limit",
    0x08: "a hardware slowdown",
    0x20: "heat (software)",
    0x40: "heat (hardware)",
    0x80: "the power brake",
}


def nvml_of_current_gpu() -> tuple[Any, Any]:
    """Return (NVML, handle of torch's current CUDA device). Raises: ImportError, or errors of NVML."""
    import pynvml
    import torch

    pynvml.nvmlInit()
    uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
    return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")


def gpu_state(nvml: Any, handle: Any) -> dict[str, Any]:
    """Return clocks in MHz, power in W, temperature in degrees Celsius, slowdown reasons and foreign processes.

    In a container the driver may list this process under another pid; then one of the listed ones counts as this one.
    """
    reasons = int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
    pids = [int(process.pid) for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
    return {
        "gpu_clock_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
        "gpu_max_clock_mhz": nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
        "gpu_power_w": nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
        "gpu_power_limit_w": nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1e3,
        "gpu_temperature_c": nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
        "gpu_slowdowns": [name for bit, name in SLOWDOWNS.items() if reasons & bit],
        "gpu_foreign_processes": _num_foreign(pids),
    }


def _num_foreign(pids: Sequence[int]) -> int:
    return sum(pid != os.getpid() for pid in pids) if os.getpid() in pids else max(len(pids) - 1, 0)


def gpu_faults(state: dict[str, Any]) -> list[str]:
    """Return what makes a timing on this GPU doubtful, in words."""
    faults = []
    if state["gpu_slowdowns"]:
        faults.append(f"the GPU is slowed down by {', '.join(state['gpu_slowdowns'])}")
    if state["gpu_foreign_processes"]:
        faults.append(f"{state['gpu_foreign_processes']} other processes compute on the GPU")
    return faults
