"""The processes (ranks) of one trial: rank 0 starts and supervises the others; the end of one ends all.

A failing rank reports its cause in the rendezvous file and ends. The system closes its connections, which wakes the
ranks that wait for it. Where that does not help (a GPU that waits in a kernel), a thread ends the process.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.measure.process_end import num_oom_kills, status_of_exit
from harness.store import TrialFolder
from harness.store.files import unlock_all
from harness.worker.signals import EXIT_DONE, EXIT_FAILED, EXIT_PREEMPTED, blocked_stop_signals

if TYPE_CHECKING:
    from torch.distributed import Store

    from harness.sweep.schema import TrialConfig
    from harness.train.distributed import Group, RankFailed

POLL_SECONDS = 0.5
SETTLE_SECONDS = 1.0  # after a lost connection, until the kernel shows which process ended
GRACE_SECONDS = 5.0  # for the main thread to notice that a rank is gone; then the process is ended
LOST_CONTACT = "lost the connection to another rank, which ended or was killed"
CAUSE_KEY = "cause"  # of the first rank that failed: {"rank", "status", "message"}


@dataclass
class Children:
    """The ranks that rank 0 started on this machine, from rank 1 on."""

    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    oom_kills_before: int = field(default_factory=num_oom_kills)

    def kill(self) -> None:
        """Ends those that are left: they hold nothing that is not in the checkpoint or in rank 0."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()


def check_rank(rank: int | None, trial: TrialConfig) -> None:
    """Raises: UserError for a rank that the trial does not have."""
    size = trial.train.num_processes
    if rank is not None and rank >= size:
        raise UserError(f"--rank {rank}: the trial has train.num_processes {size}, so ranks 0 to {size - 1}")


@contextmanager
def leading(
    folder: TrialFolder, trial: TrialConfig, rendezvous: Path | None, end: Callable[[str, str], None]
) -> Iterator[Group]:
    """Yields the group of a trial to its rank 0.

    Starts the other ranks here, unless they are started elsewhere and join at `rendezvous`.
    `end` is called with status and message before this process is ended because another rank is gone.

    Raises:
        RankFailed: another rank ended.
    """
    from harness.train.distributed import SINGLE_PROCESS, joined, open_store

    size, device = trial.train.num_processes, trial.train.device
    if size == 1:
        yield SINGLE_PROCESS
        return
    file = rendezvous or folder.path / f".rendezvous.{os.getpid()}.tmp"
    store = open_store(file, size)
    children = Children() if rendezvous else _start(folder, file, size)
    try:
        with _failure_reported(store, 0), _supervised(store, children, end), joined(store, 0, size, device) as group:
            yield group
        with suppress(subprocess.TimeoutExpired):  # the work is done, however slowly they end
            for child in children.processes:
                child.wait(GRACE_SECONDS)
    finally:
        children.kill()
        if rendezvous is None:
            file.unlink(missing_ok=True)


@contextmanager
def following(trial: TrialConfig, rank: int, rendezvous: Path) -> Iterator[Group]:
    """Yields the group of a trial to a rank other than 0."""
    from harness.train.distributed import joined, open_store

    size, device = trial.train.num_processes, trial.train.device
    store = open_store(rendezvous, size)
    alone = Children()
    with (
        _failure_reported(store, rank),
        _supervised(store, alone, lambda *cause: None),
        joined(store, rank, size, device) as group,
    ):
        yield group


def _start(folder: TrialFolder, file: Path, size: int) -> Children:
    """Starts ranks 1 and up on this machine; they share this process's output."""
    loopback = "lo" if sys.platform == "linux" else "lo0"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)  # needs no host name to resolve; traffic stays on the host
    os.environ["LOCAL_RANK"] = "0"
    command = [sys.executable, "-m", "harness", "worker", str(folder.path), "--stage", "train"]
    command += ["--rendezvous", str(file), "--parent", str(os.getpid())]
    children = Children()
    with blocked_stop_signals():  # inherited: a stop request does not kill a rank that is still importing
        for rank in range(1, size):
            environment = {**os.environ, "LOCAL_RANK": str(rank)}
            children.processes.append(
                subprocess.Popen([*command, "--rank", str(rank)], stdin=subprocess.DEVNULL, env=environment)
            )
    return children


@contextmanager
def _failure_reported(store: Store, rank: int) -> Iterator[None]:
    """Writes the cause of this rank's failure to the store, unless another rank was first; a lost connection is
    replaced by its cause.

    Raises:
        RankFailed: this rank failed because of another one.
    """
    from harness.measure.failure import verdict
    from harness.train.distributed import RankFailed
    from harness.train.loop import Interrupted

    try:
        yield
    except (Interrupted, RankFailed):
        raise
    except BaseException as error:
        status, message = ("lost", LOST_CONTACT) if _is_lost_contact(error) else verdict(error)
        cause = json.dumps({"rank": rank, "status": status, "message": message})
        first = store.compare_set(CAUSE_KEY, "", cause).decode()
        if _is_lost_contact(error) or (first != cause and isinstance(error, RuntimeError)):
            raise _failure(first) from error
        raise


def _is_lost_contact(error: BaseException) -> bool:
    """Returns whether the error is torch's for a connection to another rank that is gone."""
    return isinstance(error, RuntimeError) and re.search("Connection (closed|reset) by peer", str(error)) is not None


def _failure(cause: str) -> RankFailed:
    from harness.train.distributed import RankFailed

    content = json.loads(cause)
    return RankFailed(content["status"], f"rank {content['rank']}: {content['message']}")


@contextmanager
def _supervised(store: Store, children: Children, end: Callable[[str, str], None]) -> Iterator[None]:
    """Supervises the other ranks from a thread while the main thread trains.

    Raises:
        RankFailed: a signal ended one of the children, or it exited without reporting a cause.
    """
    closed = threading.Event()
    supervisor = threading.Thread(target=_supervise, args=(store, children, end, closed), daemon=True)
    supervisor.start()
    try:
        yield
    except RuntimeError as error:
        time.sleep(SETTLE_SECONDS)
        failure = _unreported_failure(store, children, early=_is_lost_contact(error))
        if failure is not None:
            raise failure from error
        raise
    finally:
        closed.set()
        supervisor.join()


def _supervise(store: Store, children: Children, end: Callable[[str, str], None], closed: threading.Event) -> None:
    while not closed.wait(POLL_SECONDS):
        failure = _any_failure(store, children)
        if failure is None:
            continue
        if closed.wait(GRACE_SECONDS):
            return
        print(f"ended: {failure}", file=sys.stderr, flush=True)
        children.kill()
        end(failure.status, str(failure))
        unlock_all()
        os._exit(EXIT_PREEMPTED if failure.status == "lost" else EXIT_FAILED)


def _any_failure(store: Store, children: Children) -> RankFailed | None:
    """The failure of any rank, if there is one. A signal takes precedence over the errors that it causes elsewhere."""
    reported = _failure(store.get(CAUSE_KEY).decode()) if store.check([CAUSE_KEY]) else None
    return _unreported_failure(store, children) or reported


def _unreported_failure(store: Store, children: Children, *, early: bool = False) -> RankFailed | None:
    """The first child that a signal ended, or that failed without reporting a cause.

    `early`: a child that has ended at all ended too early, e.g. because code of a variant called `os._exit(0)`.
    """
    from harness.train.distributed import RankFailed

    for rank, child in enumerate(children.processes, start=1):
        code = child.poll()
        if code is None or (code in (EXIT_DONE, EXIT_PREEMPTED) and not early):
            continue
        if code < 0 or not store.check([CAUSE_KEY]):
            status, message = status_of_exit(code, children.oom_kills_before)
            return RankFailed(status, f"rank {rank} {message}" + ("" if code < 0 else "; the log says more"))
    return None
