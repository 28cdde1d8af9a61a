"""One undisturbed run that all tests of faults compare with, and copies of it to damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.store import Store
from tests.e2e import harness, write_sweep
from tests.faults.scene import LONGER


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the run of an undisturbed `sweep mini.yaml`."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = harness("sweep", write_sweep(folder, LONGER).name, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "runs/mini"


@pytest.fixture
def place(tmp_path: Path, undisturbed: Path) -> Path:
    """Returns a copy of the folder with the finished sweep: `mini.yaml` and `runs/mini`."""
    place = tmp_path / "place"
    shutil.copytree(undisturbed.parent.parent, place)
    store = Store(place / "runs/mini")
    store.write_plan(store.plan().model_copy(update={"directory": str(place)}))
    return place
