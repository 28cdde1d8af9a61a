"""A user of the cluster: runs harness commands in a folder, puts broken programs on the PATH."""

from __future__ import annotations

import io
import os
import subprocess
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from harness.cli import main
from tests.e2e import MINI, ROOT, command, harness, scores, statuses
from tests.slurm.cluster import Cluster, eventually

#: two trials of a few steps; jobs of a minute at least, since SLURM counts in minutes
TINY = MINI.replace("launch: {", "launch: {where: slurm, time: 00:05:00, signal_delay_s: 60, ")
#: one trial that trains until it is stopped, unless it is let go on to `num_steps`
LONG = (
    TINY.replace("num_steps: 8", "num_steps: 900")
    .replace("checkpoint_every_steps: 4", "checkpoint_every_steps: 50")
    .replace("[0, 1]}", "[1]}")
    .replace("baseline: {variant.temporal_window: 0}", "")
)


def run_locally(folder: Path, text: str) -> dict[str, object]:
    """Returns the `scores` of a sweep in the local pool, without interruption."""
    (folder / "mini.yaml").write_text(text, encoding="utf-8")
    done = harness("sweep", "mini.yaml", "--launch", "local", "--no-report", cwd=folder)
    assert done.returncode == 0, done.stderr
    return scores(folder / "runs" / "mini")


@dataclass
class User:
    """`environment` may be changed; `bin` comes first on the PATH."""

    cluster: Cluster
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**self.cluster.environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": path}

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Starts a harness command that runs in parallel with the test."""
        return subprocess.Popen(
            command(*arguments), cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def harness(self, *arguments: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs a harness command in its own process, to its end."""
        return subprocess.run(
            command(*arguments), cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip

    def here(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs a harness command in this process: saves seconds of importing torch."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.environment, clear=True),
            chdir(self.folder),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = main([*map(str, arguments)])
        return subprocess.CompletedProcess([*map(str, arguments)], code, out.getvalue(), err.getvalue())

    def ok(self, *arguments: str | Path) -> str:
        """Returns the output of a command that has to succeed."""
        done = self.here(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write(self, text: str = TINY, name: str = "mini") -> str:
        """Writes a sweep file."""
        (self.folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        return f"{name}.yaml"

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.folder / "runs" / "mini"

    def program(self, name: str, script: str) -> None:
        """Puts a shell script before the real program of that name; `sbatch --test-only` submits nothing and succeeds."""
        asked = '[[ "$*" != *--test-only* ]] || exit 0\n' if name == "sbatch" else ""
        path = self.bin / name
        path.write_text(f"#!/bin/bash\n{asked}{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def queued_jobs(self) -> list[str]:
        """TOKEN/INDEX that the trials name, sorted; "" for a trial without a job."""
        return sorted(item["job"] for item in statuses(self.run).values())

    def states(self) -> list[str]:
        """Returns the status of every trial, sorted."""
        return sorted(item["status"] for item in statuses(self.run).values())

    def wait_for_queue(self, seconds: float = 90) -> None:
        """Waits until SLURM has no job any more."""
        eventually(lambda: not self.cluster.queue(), seconds, self.story)

    def wait_for_step(self, step: int, seconds: float = 60) -> None:
        """Waits until every trial has trained so far."""
        eventually(lambda: all(item["step"] >= step for item in statuses(self.run).values()), seconds, self.story)

    def story(self) -> str:
        """Returns everything that helps to understand a failure."""
        logs = [*self.run.glob("jobs/*/log/*.out"), *self.run.glob("trials/*/log.txt")]
        texts = [f"--- {path}\n{path.read_text(errors='replace')[-2000:]}" for path in logs]
        return "\n".join([str(self.cluster.queue()), str(statuses(self.run)), *texts])
