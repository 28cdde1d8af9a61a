"""Checks of a cluster by `doctor`. SLURM's commands are scripts here; tests/slurm/test_faults.py asks a real node."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.launch.doctor import Finding
from harness.launch.slurm.doctor import check_cluster
from harness.sweep.launch.config import LaunchConfig
from tests.launch.slurm.conftest import Program


@pytest.fixture
def slurm(program: Program) -> Program:
    """A cluster of one default partition on which this machine is the node."""
    program("scontrol", "echo SLURM_VERSION = 22.05")
    program("sinfo", "echo 'low*|up|2|infinite'; echo 'high|up|2|infinite'")
    program("sbatch", "true")
    program("srun", 'while [ "$1" != bash ]; do shift; done; exec "$@"')
    for name in ("squeue", "scancel", "sacct"):
        program(name, "true")
    return program


def problems(launch: LaunchConfig, runs: Path) -> list[Finding]:
    return [finding for finding in check_cluster(launch, runs, 20) if finding.kind == "problem"]


def test_the_default_partition_has_to_be_up_unless_another_is_given(slurm: Program, tmp_path: Path) -> None:
    slurm("sinfo", "[[ $* == *=high* ]] || echo 'low*|down|2|infinite'; echo 'high|up|2|infinite'")
    [found] = problems(LaunchConfig(), tmp_path)
    assert (found.name, found.text) == ("partition", "low* is down (* is the default one)")
    assert problems(LaunchConfig(partition="high"), tmp_path) == []


def test_the_lines_of_setup_are_run(slurm: Program, tmp_path: Path) -> None:
    assert problems(LaunchConfig(setup=[f"echo said; touch '{tmp_path}/seen'"]), tmp_path) == []
    assert (tmp_path / "seen").exists()
    [found] = problems(LaunchConfig(setup=["echo no such module >&2; exit 3"]), tmp_path)
    assert "no such module" in found.text
    assert "launch.setup" in found.todo


def test_resources_of_the_block_and_of_every_override_are_tried(slurm: Program, tmp_path: Path) -> None:
    slurm(
        "sbatch",
        '[[ $* == *--mem=80G* && $* == *--exclusive* ]] && { echo "allocation failure: Requested node configuration is not available" >&2; exit 1; }; true',
    )
    overrides = [{"where": {"seed": 0}, "mem": "8G"}, {"where": {"seed": 1}, "mem": "80G"}]
    launch = LaunchConfig.model_validate({"exclusive": True, "mem": "16G", "overrides": overrides})
    [found] = problems(launch, tmp_path)
    assert found.text == "launch.overrides[1]: Requested node configuration is not available"
