"""Status of a process that ended without writing one: the same signal means the same status everywhere.

SIGKILL alone does not say who sent it. It counts as `oom` where the kernel's counter of out-of-memory kills has grown
since the process started, else as `killed`.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
KERNEL_COUNTERS = Path("/proc/vmstat")


def num_oom_kills() -> int:
    """Returns how many processes the kernel has killed for lack of memory: in this cgroup, else on this machine."""
    for file in (*_counters(), KERNEL_COUNTERS):
        try:
            match = re.search(r"^oom_kill (\d+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        except OSError:
            continue
        if match:
            return int(match[1])
    return 0


def _counters() -> list[Path]:
    """Returns the files that count the kills in this process's memory cgroup, version 2 first, then version 1."""
    try:
        lines = [line.split(":", 2) for line in OWN_CGROUPS.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []
    paths = {name: path.lstrip("/") for _, names, path in lines for name in names.split(",")}
    found: list[Path] = []
    if "" in paths:
        found += [CGROUPS / paths[""] / "memory.events", CGROUPS / "memory.events"]
    if "memory" in paths:
        legacy = CGROUPS / "memory"
        found += [legacy / paths["memory"] / "memory.oom_control", legacy / "memory.oom_control"]
    return found


def status_of_exit(code: int, oom_kills_before: int) -> tuple[str, str]:
    """Returns (status, message) for an exit code as `subprocess` gives it: below zero, the signal that ended it.

    `oom_kills_before`: `num_oom_kills()` from before the process started.
    """
    if code >= 0:
        return "failed", f"ended with exit code {code}"
    name = _signal_name(-code)
    if -code == signal.SIGKILL and num_oom_kills() > oom_kills_before:
        return "oom", f"was ended by {name}: the kernel ran out of memory"
    return "killed", f"was ended by {name}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
