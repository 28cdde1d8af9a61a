"""Workers that cannot start: `status` shows the reason, and the other trials continue."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.e2e import MINI, ROOT, command, environment, harness, records, statuses, write_sweep

#: Python runs this at its start, in workers too: what is broken there is broken on their machine and not on ours
SITE = """
import os, pathlib, sys

class Absent:
    def __init__(self, name):
        self.name = name
    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            raise ImportError(f"lib{name}.so: cannot open shared object file: No such file or directory")

words = sys.orig_argv
if "server" in words:  # then workers start by exec
    os._exit(1)
if "worker" in words:
    config = (pathlib.Path(words[words.index("worker") + 1]) / "config.yaml").read_text()
    if "\\n  seed: 0\\n" in config:
        sys.meta_path.insert(0, Absent("torch"))
    if "\\n  seed: 1\\n" in config:
        sys.meta_path.insert(0, Absent("yaml"))
    if "\\n  seed: 2\\n" in config:
        next(pathlib.Path(words[words.index("worker") + 1]).parents[1].glob("code/*/extra_0/gone.py")).unlink()
    if "\\n  seed: 3\\n" in config:
        print("python: error while loading shared libraries: libfault.so.1", flush=True)
        os._exit(127)
"""
EXPECTED = {
    0: "libtorch.so: cannot open shared object file",
    1: "libyaml.so: cannot open shared object file",
    2: "no variant named gone",
    3: "exit code 127; its log ends: python: error while loading shared libraries: libfault.so.1",
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[int, str]]:
    """Returns the output of the sweep, and the lines of `status` for each seed."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "more").mkdir()
    (folder / "more/gone.py").write_text((ROOT / "variants/spatial_only.py").read_text())
    text = MINI.replace("{name: mixing, temporal_window: 1}", "{name: gone}").replace("seeds: 1", "seeds: 4")
    text = text.replace("  - grid: {variant.temporal_window: [0, 1]}\n", "  - list: [{label: only}]\n")
    text = text.replace("baseline: {variant.temporal_window: 0}\n", "")
    sweep = write_sweep(folder, text)
    (folder / "sitecustomize.py").write_text(SITE)
    done = subprocess.run(
        command("sweep", sweep, "--variants", "more", "--no-report"), cwd=folder, capture_output=True, text=True,
        check=False, env=environment() | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not records(folder / "runs/mini")
    assert {status["status"] for status in statuses(folder / "runs/mini").values()} <= {"failed", "invalid"}
    status = harness("status", "runs/mini", cwd=folder)
    assert status.returncode == 0
    blocks = re.split(r"\n(?=failed|invalid)", status.stdout)
    return done.stdout, {seed: block for block in blocks for seed in EXPECTED if f"seed {seed}" in block}


@pytest.mark.parametrize("seed", EXPECTED)
def test_status_shows_why_a_worker_could_not_begin(shown: tuple[str, dict[int, str]], seed: int) -> None:
    printed, blocks = shown
    assert EXPECTED[seed] in printed
    assert EXPECTED[seed] in blocks[seed]
    assert "          | " in blocks[seed]
