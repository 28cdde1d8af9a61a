"""Jobs that SLURM would never start are refused before anything is submitted; those that it cannot start now are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import UserError
from harness.launch.slurm import acceptance, submission
from harness.launch.slurm.job import launch_of
from harness.launch.slurm.search import Arrays
from harness.launch.snapshot import OWN
from harness.store import Store
from tests.e2e import statuses, write_sweep
from tests.launch.slurm.conftest import Fake, Program, planned

#: as slurm 22.05 prints them
PERMANENT = [
    "allocation failure: Requested node configuration is not available",
    "sbatch: error: invalid partition specified: nope\nallocation failure: Invalid partition name specified",
    "allocation failure: Invalid account or account/partition combination specified",
    "allocation failure: Invalid qos specification",
    "allocation failure: Invalid feature specification",
    "allocation failure: Requested time limit is invalid (missing or exceeds some limit)",
    "sbatch: error: Invalid generic resource (gres) specification",
    "allocation failure: User's group not permitted to use this partition",
    "sbatch: error: QOSMaxCpuPerJobLimit\nallocation failure: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    "sbatch: error: Memory specification can not be satisfied",
]
PASSING = [
    "allocation failure: Required node not available (down, drained or reserved)",
    "allocation failure: Required partition not available (inactive or drain)",
    "allocation failure: Requested nodes are busy",
    "allocation failure: Unable to contact slurm controller (connect failure)",
    "sbatch: error: QOSMaxSubmitJobPerUserLimit\nallocation failure: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    "allocation failure: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    "lorem ipsum",
]


def sweep(folder: Path, *more: str) -> int:
    return main(["sweep", str(write_sweep(folder)), "--launch", "slurm", "--runs", str(folder / "runs"), *more])


@pytest.mark.parametrize("said", PERMANENT)
def test_what_never_starts_is_refused_in_the_words_of_slurm(
    slurm: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str
) -> None:
    slurm.never.write_text(said)
    assert sweep(tmp_path) == 2
    assert said.splitlines()[-1].removeprefix("allocation failure: ").removeprefix("sbatch: error: ") in (
        printed := capsys.readouterr().err
    )
    assert "Nothing was submitted" in printed
    assert slurm.submissions() == 0
    assert not list(tmp_path.glob("runs/mini/jobs/*"))
    slurm.never.unlink()
    assert sweep(tmp_path) == 0, "nothing has to be repaired"
    assert slurm.submissions() == 1


@pytest.mark.parametrize("said", PASSING)
def test_what_may_start_later_is_submitted_with_a_warning(
    slurm: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str
) -> None:
    slurm.never.write_text(said)
    assert sweep(tmp_path) == 0
    assert said.splitlines()[-1].removeprefix("allocation failure: ") in capsys.readouterr().out
    assert slurm.submissions() == 1


@pytest.mark.parametrize(
    ("nodes", "is_refused"),
    [("n1|low*|drained|2|4000", False), ("n1|low*|idle|2|4000", True), ("n1|low*|down*|1|4000", True), ("?", True)],
    ids=["drained", "all there", "down and too small", "no answer"],
)
def test_words_that_slurm_also_uses_while_nodes_are_drained(
    slurm: Fake, program: Program, nodes: str, is_refused: bool
) -> None:
    """slurm 22.05 says that the configuration is not available where the only fitting nodes are drained."""
    slurm.never.write_text(PERMANENT[0])
    program("sinfo", f"echo '{nodes}'")
    verdict = acceptance.verdict_on(["--nodes=1", "--cpus-per-task=2", "--mem=2G"])
    assert (bool(verdict.refusal), bool(verdict.doubt)) == (is_refused, not is_refused)
    assert "configuration is not available" in verdict.refusal + verdict.doubt


def test_each_set_of_resources_is_asked_about_once_and_without_its_array(slurm: Fake, tmp_path: Path) -> None:
    overrides = "launch.overrides=[{where: {variant.temporal_window: 1}, mem: 2G, partition: high, time: 02:00:00}]"
    assert sweep(tmp_path, "--set", overrides, "--set", "seeds=3") == 0
    asked = [line for line in slurm.calls.read_text().splitlines() if "--test-only" in line]
    assert len(asked) == 2
    assert not any("--array" in line for line in asked)
    [high] = [line for line in asked if "--partition=high" in line]
    assert {"--mem=2G", "--time=120", "--nodes=1", "--cpus-per-task=1", "--wrap=true"} <= {*high.split()}


def test_a_search_asks_once_and_ends_where_slurm_refuses(slurm: Fake, tmp_path: Path) -> None:
    plan, store, tasks = planned(tmp_path)
    arrays = Arrays(plan, store, OWN)
    arrays.start(tasks[:1])
    arrays.start(tasks[1:])
    assert slurm.calls.read_text().count("--test-only") == 1
    arrays.tested.clear()
    slurm.queue.write_text("")
    slurm.never.write_text(PERMANENT[0])
    with pytest.raises(UserError, match="would never start"):
        arrays.start(tasks)
    assert {item["status"] for item in statuses(store.path).values()} == {"queued"}


def test_jobs_have_the_limits_of_the_sweep(slurm: Fake, tmp_path: Path) -> None:
    assert sweep(tmp_path, "--set", "launch.stall_minutes=null", "--set", "launch.warm_workers=false") == 0
    (noted,) = submission.every(Store(tmp_path / "runs/mini"))
    launch = launch_of(noted)
    assert (launch.stall_minutes, launch.warm_workers) == (None, False)
