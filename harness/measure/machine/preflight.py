"""Whether the machine is fit for timing: other busy processes, available cores, throttling."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from harness.measure.machine.gpu import gpu_faults, gpu_state, nvml_of_current_gpu

BUSY_SHARE = 0.10  # of a core, by one foreign process
WATCH_SECONDS = 0.2
CGROUP = Path("/sys/fs/cgroup")


def preflight(num_threads: int, device: str = "cpu", *, watch_seconds: float = WATCH_SECONDS) -> dict[str, Any]:
    """Return the state of the machine as plain values; `dirty` lists in words what makes a timing doubtful."""
    gpu = _gpu() if device == "cuda" else {}
    throttled = throttled_periods()
    foreign = busy_processes(watch_seconds)
    throttled_after = throttled_periods()
    cores, quota = len(os.sched_getaffinity(0)), cpu_quota_cores()
    clock, slowest = clock_mhz()
    found = {
        "load_1min": os.getloadavg()[0],
        "busy_processes": foreign,
        "cpu_affinity": cores,
        "cpu_quota_cores": quota,
        "throttled_periods": None if throttled is None else (throttled_after or 0) - throttled,
        "clock_mhz": clock,
        "clock_min_mhz": slowest,
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    }
    faults = _faults(found, num_threads) + (gpu_faults(gpu) if gpu else [])
    return found | gpu | {"dirty": faults}


def _gpu() -> dict[str, Any]:
    """Return the state of the current GPU; empty, with the reason in the log, if NVML is not available."""
    try:
        return gpu_state(*nvml_of_current_gpu())
    except Exception as error:  # no pynvml, or one of its many errors
        print(f"the state of the GPU is unknown: {type(error).__name__}: {error}", flush=True)
        return {}


def _faults(found: dict[str, Any], num_threads: int) -> list[str]:
    cores, quota = found["cpu_affinity"], found["cpu_quota_cores"]
    available = cores if quota is None else min(cores, quota)
    foreign = sum(found["busy_processes"].values())
    faults = []
    if foreign + num_threads > cores + BUSY_SHARE:
        by_name: dict[str, float] = {}  # without process ids, which say nothing later
        for process, share in found["busy_processes"].items():
            name = process.rpartition(" (")[0]
            by_name[name] = by_name.get(name, 0.0) + share
        names = ", ".join(f"{name} ({share:.0%})" for name, share in by_name.items())
        faults.append(f"other processes use {foreign:.1f} of {cores} cores: {names}")
    if num_threads > available:
        faults.append(f"{num_threads} threads asked for, {available:g} cores allowed (affinity {cores}, quota {quota})")
    if found["throttled_periods"]:
        faults.append(f"the quota throttled this group {found['throttled_periods']} times while it was watched")
    return faults


def busy_processes(watch_seconds: float = WATCH_SECONDS) -> dict[str, float]:
    """Return name (pid) -> share of a core of busy processes, excluding this process and its ancestors."""
    own, ticks = _own_ancestry(), os.sysconf("SC_CLK_TCK")
    before, start = _cpu_ticks(), time.perf_counter()
    time.sleep(watch_seconds)
    spent = time.perf_counter() - start
    shares = {
        f"{name} ({pid})": round((used - before[pid][1]) / ticks / spent, 3)
        for pid, (name, used) in _cpu_ticks().items()
        if pid in before and pid not in own
    }
    return {name: share for name, share in shares.items() if share > BUSY_SHARE}


def _own_ancestry() -> set[int]:
    """Return the pids of this process and of its ancestors."""
    line, pid = set[int](), os.getpid()
    while pid > 0 and pid not in line:
        line.add(pid)
        fields = (_read(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
        pid = int(fields[1]) if len(fields) > 1 else 0
    return line


def _cpu_ticks() -> dict[int, tuple[str, int]]:
    """Return pid -> (name, clock ticks used so far, user and system)."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        text = _read(str(path)) or ""
        head, _, tail = text.rpartition(")")
        fields = tail.split()
        if len(fields) > 12:
            found[int(path.parent.name)] = (head.partition("(")[2], int(fields[11]) + int(fields[12]))
    return found


def cpu_quota_cores() -> float | None:
    """Return the CPU quota of the control group in cores; None: no limit, or it cannot be read."""
    text = _read(str(CGROUP / "cpu.max"))
    if text is not None:
        quota, period = text.split()
    else:
        quota, period = (_read(str(CGROUP / f"cpu/cpu.cfs_{name}_us")) or "-1" for name in ("quota", "period"))
    return None if quota in ("max", "-1") else int(quota) / int(period)


def throttled_periods() -> int | None:
    """Return how often the quota has throttled this control group; None if that cannot be read."""
    text = _read(str(CGROUP / "cpu.stat")) or _read(str(CGROUP / "cpu/cpu.stat")) or ""
    counts = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
    return int(counts["nr_throttled"]) if "nr_throttled" in counts else None


def clock_mhz() -> tuple[float | None, float | None]:
    """Return (mean, lowest) clock of the cores now; None if the kernel does not report it."""
    lines = (_read("/proc/cpuinfo") or "").splitlines()
    clocks = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    return (sum(clocks) / len(clocks), min(clocks)) if clocks else (None, None)


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
