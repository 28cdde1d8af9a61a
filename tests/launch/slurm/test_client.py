"""Calls of SLURM's commands and the parsing of their output. Needs no cluster."""

from __future__ import annotations

import os

import pytest

from harness.launch.slurm import client
from tests.launch.slurm.conftest import Program


def test_defaults_of_a_user_hide_no_job(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")
    monkeypatch.setenv("SQUEUE_PARTITION", "high")
    program("squeue", 'env | grep -q ^SQUEUE_ || { [[ "$*" == *--states=all* ]] && echo "a.1|7|0|REQUEUE_HOLD"; }')
    lines, problem = client.queue(["a.1"])
    assert ([line.full_id for line in lines], problem) == (["7_0"], "")


def test_an_ended_job_is_not_in_the_queue(program: Program) -> None:
    program("squeue", 'printf "a.1|7|%s\\n" "0|COMPLETED" "1|COMPLETING" "2|OUT_OF_MEMORY" "3|PENDING"')
    assert [line.index for line in client.queue(["a.1"])[0]] == [1, 3]
    assert [line.index for line in client.queue(["a.1"], ended=True)[0]] == [0, 1, 2, 3]


def test_only_account_and_place_of_jobs_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"SBATCH_ACCOUNT": "mine", "SBATCH_PARTITION": "high", "SLURM_CONF": "c", "HOME": "h"}
    dropped = {"SBATCH_ARRAY_INX": "0-9", "SBATCH_HOLD": "", "SCANCEL_STATE": "RUNNING", "SINFO_PARTITION": "x"}
    assert client.clean_environment(given | dropped) == given
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with client.scrubbed_environment(["partition", "time"]):  # the sweep file gives the partition
        assert "SBATCH_PARTITION" not in os.environ
        assert os.environ["SBATCH_ACCOUNT"] == "mine"
    assert os.environ["SBATCH_PARTITION"] == "high"
