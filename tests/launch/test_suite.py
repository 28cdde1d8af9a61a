"""The suite of the launchers, for the local one and for one of an outside package behind a fake ssh."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.launch.testing import LauncherSuite
from harness.sweep.launch import launcher_names
from tests.e2e import ROOT

#: a fresh login: of the caller's environment it has the home and the PATH
SSH = '#!/bin/sh\nhost="$1"; shift\ntest "$host" = away && { echo "no route to host" >&2; exit 255; }\n'
SSH += 'exec env -i HOME="$HOME" PATH="$PATH" OMP_NUM_THREADS=1 sh -c "$*"\n'


class TestLocal(LauncherSuite):
    launch = {"where": "local"}


class TestSsh(LauncherSuite):
    launch = {"where": "ssh", "options": {"ssh": {"hosts": ["one", "two"]}}}
    wrong_options: ClassVar[dict[str, Any]] = {"hosts": [], "user": "me"}

    @pytest.fixture
    def launcher_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
        """Makes the package importable with its entry point, and puts a program named ssh on the PATH."""
        package = tmp_path / "site"
        info = package / "ssh_launcher-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ssh-launcher\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[harness.launchers]\nssh = ssh_launcher:Ssh\n")
        outside = Path(__file__).parent / "outside"
        (package / "ssh").write_text(SSH)
        (package / "ssh").chmod(0o755)
        for folder in (package, outside):
            monkeypatch.syspath_prepend(str(folder))
        launcher_names._outside.cache_clear()
        paths = os.pathsep.join(map(str, (package, outside, ROOT)))
        yield {**os.environ, "PYTHONPATH": paths, "PATH": f"{package}{os.pathsep}{os.environ['PATH']}"}
        launcher_names._outside.cache_clear()
