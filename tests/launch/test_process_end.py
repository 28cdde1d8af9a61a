"""One signal, one status: in the local pool, among the ranks of a trial, and in an isolated measurement."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.launch.local.workers import Running, write_end
from harness.launch.tasks import TrialTask
from harness.measure import process_end
from harness.measure.isolated.fresh_process import _unexplained
from harness.measure.process_end import num_oom_kills, status_of_exit
from harness.store import TrialFolder, TrialStatus
from harness.worker.ranks import Children, _unreported_failure


def killed(number: int) -> subprocess.Popen[bytes]:
    """A process that a signal ended."""
    process = subprocess.Popen(["sleep", "60"])
    process.send_signal(number)
    process.wait()
    return process


def in_the_pool(number: int, folder: Path) -> tuple[str, str]:
    trial: Any = SimpleNamespace(trial_id="x")
    task = TrialTask(trial, TrialFolder(folder), "train", 1, "cpu")
    task.folder.create({})
    task.folder.write_status(TrialStatus("running"))
    status = write_end(Running(task, killed(number), (), oom_kills_before=0), stopping=False, time_limit_minutes=None)
    assert task.folder.written_status().status == status.status
    return status.status, status.message


def among_ranks(number: int, folder: Path) -> tuple[str, str]:
    store: Any = SimpleNamespace(check=lambda keys: False)
    failure = _unreported_failure(store, Children([killed(number)], oom_kills_before=0))
    assert failure is not None
    return failure.status, str(failure)


def isolated(number: int, folder: Path) -> tuple[str, str]:
    answer = _unexplained(killed(number).returncode, "", 0)
    return answer.status, answer.message


@pytest.mark.parametrize("place", [in_the_pool, among_ranks, isolated])
@pytest.mark.parametrize(
    ("number", "num_kills", "status"),
    [(signal.SIGKILL, 0, "killed"), (signal.SIGKILL, 1, "oom"), (signal.SIGSEGV, 1, "killed")],
)
def test_a_signal_means_the_same_wherever_it_ends_a_process(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Callable[[int, Path], tuple[str, str]],
    number: signal.Signals,
    num_kills: int,
    status: str,
) -> None:
    monkeypatch.setattr(process_end, "num_oom_kills", lambda: num_kills)
    found, message = place(number, tmp_path)
    assert found == status
    assert f"was ended by {number.name}" in message


@pytest.mark.parametrize(
    ("line", "file"),
    [("0::/job", "job/memory.events"), ("4:memory,cpu:/job", "memory/job/memory.oom_control")],
    ids=["version 2", "version 1"],
)
def test_out_of_memory_kills_are_counted_in_the_own_cgroup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, file: str
) -> None:
    for name in ("CGROUPS", "OWN_CGROUPS", "KERNEL_COUNTERS"):
        monkeypatch.setattr(process_end, name, tmp_path / name)
    assert num_oom_kills() == 0
    (tmp_path / "KERNEL_COUNTERS").write_text("pgfault 7\noom_kill 5\n")
    (tmp_path / "OWN_CGROUPS").write_text(f"{line}\n")
    assert num_oom_kills() == 5, "a kernel without such a file counts for the machine"
    counter = tmp_path / "CGROUPS" / file
    counter.parent.mkdir(parents=True)
    counter.write_text("low 0\noom 3\noom_kill 2\noom_group_kill 9\n")
    assert num_oom_kills() == 2


def test_an_exit_code_is_a_failure_and_an_unknown_signal_has_a_number() -> None:
    assert status_of_exit(3, 0) == ("failed", "ended with exit code 3")
    assert status_of_exit(-63, 0) == ("killed", "was ended by signal 63")
