"""The suite of the launchers, on a real cluster."""

from __future__ import annotations

import pytest

from harness.launch.testing import LauncherSuite
from tests.e2e import ROOT
from tests.slurm.cluster import Cluster


class TestSlurm(LauncherSuite):
    launch = {"where": "slurm"}

    @pytest.fixture
    def launcher_environment(self, cluster: Cluster) -> dict[str, str]:
        """The environment of a user of the cluster."""
        return {**cluster.environment, "PYTHONPATH": str(ROOT)}
