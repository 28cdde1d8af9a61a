"""Nodes that a submission excludes because of the marks of earlier jobs. Needs no cluster."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.launch.slurm import submission
from harness.launch.slurm.bad_nodes import excludable, failing_nodes
from harness.launch.slurm.submission import Submission
from harness.store import Store
from tests.launch.slurm.conftest import Program

SINFO = "printf '%s\\n' 'n1|low*|idle' 'n2|low*|{}' 'n3|high|idle'"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run")


def job(store: Store, node: str, ended: str = "", *, setup: str = "", age_s: float = 0, log: str = "") -> None:
    """Writes the files of an ended job."""
    token = submission.new_token()
    folder = submission.write(
        store,
        Submission(
            token=token, name=f"mini.{token}", state="submitted", job_id="7", trials=[["a"]], labels={}, code="c",
            setup=[setup], max_restarts=1,
        ),
    )  # fmt: skip
    (folder / "log" / "7_0_log.out").write_text(log)
    for kind, text in (("started", f"{node} 7"), ("ended", ended)):
        (folder / kind / "0").mkdir()
        if text:
            (folder / kind / "0" / "0").write_text(f"{text}\n")
    os.utime(folder / "started" / "0" / "0", (time.time() - age_s,) * 2)


def failing(store: Store) -> list[str]:
    return failing_nodes(store, (), "c", [""])


def test_two_failures_and_no_success_make_a_failing_node(store: Store) -> None:
    job(store, "n1", "shell 127")
    assert failing(store) == []
    job(store, "n1")
    job(store, "n2", "job 0")
    job(store, "n2", "shell 1")
    job(store, "n2", "shell 1")
    assert failing(store) == ["n1"]


@pytest.mark.parametrize(
    "why",
    [{"setup": "exit 3"}, {"age_s": 90000}, {"log": "Waited for 60 seconds but could not find submitted jobs in x"}],
    ids=["other setup", "long ago", "no pickle"],
)
def test_failures_that_are_not_the_fault_of_the_node_do_not_count(store: Store, why: dict[str, str]) -> None:
    for _ in range(3):
        job(store, "n1", "shell 3", **why)  # type: ignore[arg-type]
    assert failing(store) == []


def test_failures_on_several_nodes_without_a_success_exclude_none(store: Store) -> None:
    for node in ("n1", "n2", "n1", "n2"):
        job(store, node, "shell 1")
    assert failing(store) == []
    job(store, "n3", "job 1")
    assert failing(store) == ["n1", "n2"]


def test_a_usable_node_stays_in_the_partition(program: Program) -> None:
    program("scontrol", "echo n2; echo n9")
    program("sinfo", SINFO.format("idle"))
    assert excludable(["n1"], None, None) == ["n1"]
    assert excludable(["n1"], None, "n[2,9]") == []  # n3 is of another partition
    program("sinfo", SINFO.format("down*"))
    assert excludable(["n1"], None, None) == []
    program("sinfo", "exit 1")
    assert excludable(["n1"], None, None) == ["n1"]
