"""The processes of one trial, started as a user or a launcher does: any of them is stopped, killed or fails.

Takes about 70 s on two cores, mostly for starting processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import worker
from harness.data import data_identity
from harness.store import TrialFolder
from harness.sweep.identity import block_text, config_text, trial_id
from harness.worker import ranks
from tests.e2e import ROOT, command, environment, processes_with
from tests.train.rank_job import trial

STEPS = 400
DROPPED = {"model.dropout": 0.2, "model.drop_path": 0.2, "data.num_val": 20, "data.num_test": 20}

#: added to a copy of a variant's file: a fault on rank 1 in its fifth forward pass
PLANTED = """
import os

class Planted(Block):
    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        if self.passes == 5 and os.environ["LOCAL_RANK"] == "1":
            {fault}
        return super().forward(x)
"""


def make(path: Path, variant_dirs: tuple[Path, ...] = (), **changes: Any) -> TrialFolder:
    """Creates a trial of two processes."""
    train = {"train.num_steps": STEPS, "train.num_processes": 2}
    config = trial(DROPPED | train | {name.replace("__", "."): value for name, value in changes.items()})
    blocks = {name: block for name, block in config.model_dump().items() if isinstance(block, dict)}
    text = config_text({name: block_text(name, block) for name, block in blocks.items()})
    identity = data_identity(config.data)
    folder = TrialFolder(path / trial_id(text, identity, config.seed))  # a record is checked against its folder
    launch = {
        "variant_dirs": [str(item) for item in variant_dirs], "checkpoint_every_steps": 10,
        "memory_limit_mib": None, "data_identity": identity,
    }  # fmt: skip
    folder.create({"trial": config.model_dump(), "launch": launch})
    return folder


def start(folder: TrialFolder, *extra: str) -> subprocess.Popen[bytes]:
    """Starts a worker whose output goes to the trial's log."""
    with open(folder.log_file, "ab") as log:
        return subprocess.Popen(
            command("worker", folder.path, "--stage", "train", *extra), cwd=ROOT, env=environment(),
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def ranks_alive(folder: TrialFolder, leader: int) -> list[int]:
    """Returns the processes of the trial except its leader."""
    return [pid for pid in processes_with(folder.path, "--rank") if pid != leader]


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> float:
    """Waits until a condition is true; returns the seconds it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "timeout"
        time.sleep(0.02)
    return time.monotonic() - begin


def wait_for_steps(folder: TrialFolder, process: subprocess.Popen[bytes], steps: int) -> None:
    """Waits until this worker has reported a number of steps."""
    wait_for(lambda: folder.written_status().pid == process.pid)
    wait_for(lambda: folder.written_status().step >= steps and process.poll() is None)


def result(folder: TrialFolder) -> tuple[Any, ...]:
    record = folder.record()
    assert record is not None
    return record.scores, record.training.final_loss, folder.written_status().status


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> TrialFolder:
    """Trains a trial with two separately started workers, as on two nodes."""
    folder = make(tmp_path_factory.mktemp("two nodes"))
    meeting = str(folder.path.parent / "meeting")
    workers = [start(folder, "--rank", rank, "--rendezvous", meeting) for rank in ("1", "0")]
    assert [each.wait(timeout=120) for each in workers] == [worker.EXIT_DONE] * 2, folder.log_tail(20)
    return folder


def test_a_trial_survives_a_stop_a_killed_rank_and_a_killed_leader(tmp_path: Path, undisturbed: TrialFolder) -> None:
    folder = make(tmp_path)

    stopped = start(folder)
    wait_for_steps(folder, stopped, 20)
    stopped.send_signal(signal.SIGUSR2)
    assert stopped.wait(timeout=60) == worker.EXIT_PREEMPTED
    assert folder.status().status == "preempted"

    orphaned = start(folder)
    wait_for_steps(folder, orphaned, 60)
    (other,) = ranks_alive(folder, orphaned.pid)
    os.kill(other, signal.SIGKILL)
    assert orphaned.wait(timeout=20) == worker.EXIT_FAILED
    assert folder.status().status == "killed"
    assert "rank 1 was ended by SIGKILL" in folder.status().message

    killed = start(folder)
    wait_for_steps(folder, killed, 100)
    killed.kill()
    killed.wait()
    wait_for(lambda: not ranks_alive(folder, killed.pid), seconds=10)
    assert folder.status().status == "lost"

    assert start(folder).wait(timeout=120) == worker.EXIT_DONE
    assert result(folder) == result(undisturbed)
    assert not ranks_alive(folder, 0)
    assert {path.name for path in folder.path.iterdir()} == {
        "config.yaml", "status.json", "record.json", "attempts.jsonl", "log.txt", "checkpoint.safetensors", ".lock",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "status", "message"),
    [
        ('raise MemoryError("planted")', "oom", "rank 1: MemoryError: planted"),
        ("os._exit(3)", "failed", "rank 1 ended with exit code 3"),
        ("os._exit(0)", "failed", "rank 1 ended with exit code 0"),
    ],
)
def test_a_failing_rank_ends_the_trial_with_its_status_and_message(
    tmp_path: Path, fault: str, status: str, message: str
) -> None:
    text = (ROOT / "variants/joint.py").read_text(encoding="utf-8")
    text = text.replace("return Block(", "return Planted(") + PLANTED.format(fault=fault)
    (tmp_path / "planted.py").write_text(text, encoding="utf-8")
    changes = {"variant": {"name": "planted"}, "readout": {"name": "class_token"}}
    folder = make(tmp_path, (tmp_path,), **changes)
    process = start(folder)
    wait_for(lambda: folder.written_status().pid == process.pid)
    assert process.wait(timeout=30) == worker.EXIT_FAILED
    assert (folder.status().status, folder.status().message.split(";")[0]) == (status, message)
    assert not ranks_alive(folder, 0)
    assert not list(folder.path.glob(".rendezvous*"))


def test_after_the_loss_of_a_rank_on_another_node_the_trial_is_open(tmp_path: Path) -> None:
    folder = make(tmp_path)
    leader, other = (start(folder, "--rank", rank, "--rendezvous", str(tmp_path / "meeting")) for rank in "01")
    wait_for_steps(folder, leader, 20)
    other.kill()
    other.wait()
    assert leader.wait(timeout=20) == worker.EXIT_PREEMPTED
    assert (folder.status().status, folder.status().message) == ("lost", f"rank 0: {ranks.LOST_CONTACT}")


def test_a_rank_that_the_trial_does_not_have_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path)
    process = start(folder, "--rank", "2", "--rendezvous", str(tmp_path / "meeting"))
    assert process.wait(timeout=30) == worker.EXIT_FAILED
    assert "--rank 2: the trial has train.num_processes 2, so ranks 0 to 1" in folder.log_tail(1)[0]
    half = start(folder, "--rank", "0")
    assert half.wait(timeout=30) == 2
    assert "belong together" in folder.log_tail(1)[0]
