"""A SLURM of shell scripts: these tests need no cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.data import data_identity
from harness.launch.tasks import TrialTask, find_todo
from harness.store import Store
from harness.sweep.plan import Plan, plan_sweep
from tests.e2e import write_sweep

#: puts a shell script on the PATH, under the name of a program of SLURM
Program = Callable[[str, str], None]
SQUEUE = 'test -e {folder}/away && echo "Unable to contact slurm controller" >&2 && exit 1\ncat {folder}/queue\n'
SBATCH = (
    'echo "$*" >> {folder}/calls\n'
    'case "$*" in *--test-only*) test ! -e {folder}/never || {{ cat {folder}/never >&2; exit 1; }}; exit 0;; esac\n'
    "if test -e {folder}/refuse; then cat {folder}/refuse >&2; exit 1; fi\n"
    'name=$(sed -n "s/^#SBATCH --job-name=//p" "$1")\n'
    'for index in 0 1; do echo "$name|7|$index|PENDING"; done >> {folder}/queue\necho Submitted batch job 7\n'
)


class Fake:
    """A SLURM of one file: what sbatch takes, squeue lists as pending.

    Texts that change its answers: `refuse` (sbatch), `never` (sbatch --test-only), `away` (squeue fails).
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.queue, self.calls = folder / "queue", folder / "calls"
        self.refuse, self.never, self.away = folder / "refuse", folder / "never", folder / "away"
        self.queue.touch()
        self.calls.touch()
        for name, text in (("squeue", SQUEUE), ("sbatch", SBATCH), ("srun", ""), ("scancel", ": > {folder}/queue\n")):
            program = folder / name
            program.write_text("#!/bin/sh\n" + text.format(folder=folder), encoding="utf-8")
            program.chmod(0o755)

    def submissions(self) -> int:
        """Returns how often sbatch was called to submit."""
        return sum("--test-only" not in line for line in self.calls.read_text().splitlines())


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return Fake(folder)


def planned(folder: Path) -> tuple[Plan, Store, Sequence[TrialTask]]:
    """Two trials in a fresh run."""
    plan = plan_sweep(
        write_sweep(folder), ["launch.where=slurm"], data_identity=data_identity, device=lambda: "cpu"
    )  # fmt: skip
    store = Store(folder / "runs/mini")
    store.path.mkdir(parents=True)
    store.write_plan(plan.to_file())
    return plan, store, find_todo(plan, store).tasks


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Puts a shell script on the PATH, under the name of a program of SLURM."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)

    return put
