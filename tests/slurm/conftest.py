"""One real cluster for all tests here; skipped, with the reason, where SLURM is not installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, missing
from tests.slurm.user import LONG, User, run_locally


@pytest.fixture(scope="session")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    absent = missing()
    if absent:
        reason = f"no SLURM here ({', '.join(absent)} missing): apt-get install slurmctld slurmd slurm-client munge"
        assert not os.environ.get("CI"), f"{reason}; in CI these tests have to run"
        pytest.skip(reason)
    cluster = Cluster(tmp_path_factory.mktemp("slurm") / "c")
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


@pytest.fixture
def cluster(running_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, idle before and after."""
    yield running_cluster
    running_cluster.clear()


@pytest.fixture
def user(cluster: Cluster, tmp_path: Path) -> User:
    """Returns a user of the cluster, in an empty folder."""
    return User(cluster, tmp_path)


@pytest.fixture
def held(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with a closed partition: it takes jobs and starts none."""
    cluster.run("scontrol", "update", "PartitionName=low", "State=DOWN")
    yield cluster
    cluster.run("scancel", "--user", str(os.getuid()), check=False)
    cluster.run("scontrol", "update", "PartitionName=low", "State=UP")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Returns the results of the long trial in the local pool, without interruption."""
    return run_locally(tmp_path_factory.mktemp("undisturbed"), LONG)
