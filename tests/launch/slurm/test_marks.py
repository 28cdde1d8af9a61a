"""The shell's part of a job, run by a shell: how it ended is noted whatever ended it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.launch.slurm.resources import setup_lines, teardown_lines
from harness.sweep.launch.config import LaunchConfig


@pytest.mark.parametrize(
    ("setup", "python", "code", "mark"),
    [
        ("exit 3", "true", 3, "shell 3"),
        ("set -e; false", "true", 1, "shell 1"),
        ("trap 'echo cleaned up' EXIT", "(exit 4)", 4, "shell 4"),
        ("true", "(exit 127)", 127, "shell 127"),
        ("true", 'echo "job 75" > "ended/7/2"; (exit 75)', 75, "job 75"),
    ],
    ids=["setup exits", "setup fails", "setup has a trap", "no Python", "Python spoke"],
)
def test_a_job_notes_how_it_ended(tmp_path: Path, setup: str, python: str, code: int, mark: str) -> None:
    folder = tmp_path / "my jobs"
    folder.mkdir()
    lines = setup_lines(LaunchConfig(setup=[setup]), folder, tmp_path / "code")
    script = "\n".join(["#!/bin/bash", *lines, python, "", "# teardown", *teardown_lines()])
    environment = os.environ | {"SLURM_ARRAY_TASK_ID": "7", "SLURM_RESTART_COUNT": "2", "SLURM_JOB_ID": "1"}
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, check=False)
    assert done.returncode == code
    assert (folder / "ended" / "7" / "2").read_text() == f"{mark}\n"
    assert (folder / "started" / "7" / "2").exists()
