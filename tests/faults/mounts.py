"""File systems of a test's own, in a mount namespace that ends with its process: no mount outlives a test."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.e2e import environment


@cache
def _unshare() -> list[str] | None:
    """Returns the options of `unshare` for a mount namespace: as root, or as root of a user namespace."""
    for command in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        try:
            probe = subprocess.run(
                [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
            )
        except FileNotFoundError:
            return None
        if probe.returncode == 0:
            return command
    return None


def in_private_mounts(script: str, cwd: Path) -> dict[str, tuple[int, str]]:
    """Runs a shell script that may mount, and calls `step NAME COMMAND...` and `$HARNESS`.

    Returns the exit code and all output of each step. Skips the test where the kernel allows no mounts.
    """
    command = _unshare()
    if command is None:
        pytest.skip("no mount namespace for this user: no file system can be made full or read-only")
    prelude = 'step() { name=$1; shift; code=0; "$@" >"$name.out" 2>&1 || code=$?; echo $code >"$name.code"; }\n'
    done = subprocess.run(
        [*command, "bash", "-euc", prelude + script], cwd=cwd, capture_output=True, text=True, timeout=300, check=False,
        env=environment() | {"HARNESS": f"{sys.executable} -m harness"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {file.stem: (int(file.read_text()), file.with_suffix(".out").read_text()) for file in cwd.glob("*.code")}
