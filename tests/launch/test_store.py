"""The files of a trial: atomic replacement, locks, statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.store import Store, TrialFolder, TrialStatus, exclusive_lock, write_atomically


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    made = TrialFolder(tmp_path / "a trial with 'quotes'\nand a newline")
    made.create({"trial": {"seed": 1}})
    return made


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["x"]


def test_a_lock_is_released_by_the_end_of_the_process(folder: TrialFolder) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom harness.store import exclusive_lock\n"
        "with exclusive_lock(Path(sys.argv[1])) as got:\n    print(got, flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(folder.lock_file)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    assert folder.is_held()
    with exclusive_lock(folder.lock_file) as got:
        assert not got
    holder.kill()
    holder.wait()
    assert not folder.is_held()


def test_running_without_a_worker_is_lost_and_with_one_is_running(folder: TrialFolder) -> None:
    folder.write_status(TrialStatus(status="running", stage="train", step=7))
    assert folder.status().status == "lost"
    assert "step 7" in folder.status().message
    with exclusive_lock(folder.lock_file):
        assert folder.status().status == "running"


def test_requeue_keeps_the_checkpoint_by_default(folder: TrialFolder) -> None:
    folder.checkpoint_file.write_bytes(b"x")
    folder.write_status(TrialStatus(status="failed", num_starts=3))
    folder.requeue()
    assert folder.status().status == "pending"
    assert folder.status().num_starts == 3
    assert folder.checkpoint_file.exists()
    folder.requeue(from_scratch=True)
    assert not folder.checkpoint_file.exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"status": "finished"}', '{"status": 3}', "\x00"])
def test_a_damaged_status_counts_as_pending(folder: TrialFolder, content: str) -> None:
    folder.status_file.write_text(content)
    assert folder.status().status == "pending"


def test_fields_of_a_newer_status_are_ignored(folder: TrialFolder) -> None:
    folder.status_file.write_text(json.dumps({"status": "done", "from_the_future": 1}))
    assert folder.status().status == "done"


def test_an_unreadable_configuration_is_named(folder: TrialFolder) -> None:
    folder.config_file.write_text("a: [")
    with pytest.raises(UserError, match=r"config\.yaml"):
        folder.config()


def test_a_folder_without_a_plan_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run is there"):
        Store(tmp_path).plan()
