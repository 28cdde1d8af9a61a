"""Where a result was obtained: versions, hardware, threads, code."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.code_identity import trunk_digest
from harness.locations import PACKAGE, TREE

ROOT = PACKAGE.parent
# sweeps and results are not code
CODE_PATHS = ("harness", "variants", "reports", "pyproject.toml", "constraints.txt")
PACKAGES = ("torch", "numpy", "fvcore", "av", "safetensors")


def environment(device: str) -> dict[str, Any]:
    """Return versions, processor, accelerator, threads, attention backend, git state and hash of the trunk."""
    import torch

    found: dict[str, Any] = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    found |= {name: _version(name) for name in PACKAGES}
    found |= {
        "cpu_model": cpu_model(),
        "cpu_affinity": len(os.sched_getaffinity(0)),
        "num_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "device": device,
        "sdpa_backend": "cpu" if device == "cpu" else f"any of {sdpa_backends()}",
        "matmul_precision": torch.get_float32_matmul_precision(),
        "hostname_hash": hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8],
        "trunk": trunk_digest().hex()[:12],
        "slurm": slurm_job(),
    }
    return found | git_state()


def slurm_job() -> dict[str, Any] | None:
    """Return the job of this process and its CPUs; None outside of one."""
    names = {"job_id": "SLURM_JOB_ID", "partition": "SLURM_JOB_PARTITION", "cpus_per_task": "SLURM_CPUS_PER_TASK"}
    found = {key: os.environ.get(name) for key, name in names.items()}
    return found if found["job_id"] else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cpu_model() -> str:
    """Return the name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def sdpa_backends() -> str:
    """Return the fused-attention backends that are enabled; torch chooses one per call."""
    from torch.backends import cuda

    enabled = {
        "flash": cuda.flash_sdp_enabled(),
        "efficient": cuda.mem_efficient_sdp_enabled(),
        "math": cuda.math_sdp_enabled(),
    }
    return "+".join(name for name, on in enabled.items() if on)


@cache
def git_state() -> dict[str, Any]:
    """Return the commit of the code and whether it has local changes; None outside of a git checkout."""
    noted = ROOT / "snapshot.json"  # written into a snapshot of the code
    if noted.exists():
        return dict(json.loads(noted.read_text(encoding="utf-8")))
    commit = _git("rev-parse", "HEAD") if TREE else None  # a repository around an installed wheel is another project
    if commit is None:
        return {"git_commit": None, "git_dirty": None}
    return {
        "git_commit": commit.strip(),
        "git_dirty": bool((_git("status", "--porcelain", "--", *CODE_PATHS) or "").strip()),
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
