"""Checks of this machine for `doctor`."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from harness import units
from harness.store import exclusive_lock

PACKAGES = {"torch": "torch", "numpy": "numpy", "pydantic": "pydantic", "PyYAML": "yaml"}
LITTLE_SPACE = 10 * 2**30  # bytes


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`: `todo` says what to do about a problem."""

    kind: Literal["ok", "note", "problem"]
    name: str
    text: str
    todo: str = ""

    def __str__(self) -> str:
        return f"{self.kind:8s} {self.name:14s} {self.text}" + (f". {self.todo}" if self.todo else "")


def check_machine(runs: Path) -> Iterator[Finding]:
    """Checks Python, packages, cores, GPUs and the folder of runs."""
    yield Finding("ok", "python", f"{sys.version.split()[0]}, {sys.executable}")
    yield _packages()
    yield Finding("ok", "cores", f"{len(os.sched_getaffinity(0))} that this process may use")
    yield _gpus()
    yield _folder(runs)


def _packages() -> Finding:
    found, broken = [], []
    for package, module in PACKAGES.items():
        try:
            importlib.import_module(module)
            found.append(f"{package} {version(package)}")
        except (ImportError, OSError, PackageNotFoundError) as error:
            broken.append(f"{package} ({error})")
    if broken:
        return Finding("problem", "packages", f"cannot be imported: {', '.join(broken)}", "pip install -e . again")
    return Finding("ok", "packages", ", ".join(found))


def _gpus() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("note", "gpu", "unknown without torch")
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Finding("ok", "gpu", ", ".join(names) or "none here: trials with device auto run on the CPU")


def _folder(runs: Path) -> Finding:
    """Checks that the folder of runs can be written and locked, and is not full."""
    probe = runs / f".doctor.{uuid.uuid4().hex}.tmp"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(probe) as first, exclusive_lock(probe) as second:
            locks = first and not second
        free = shutil.disk_usage(runs).free
    except OSError as error:
        return Finding(
            "problem", "folder", f"{runs}: {error.strerror}", "choose another with --runs, or make it usable"
        )
    finally:
        if probe.exists():
            probe.unlink()
    if not locks:
        todo = "mount it with locks (NFS: without nolock); until then, only heartbeats show which trials are lost"
        return Finding("problem", "folder", f"{runs}: file locks do not work", todo)
    if free < LITTLE_SPACE:
        return Finding("problem", "folder", f"{runs}: {units.num_bytes(free)} free", "make room: checkpoints need it")
    return Finding("ok", "folder", f"{runs}: can be written and locked, {units.num_bytes(free)} free")
