"""The processes of one trial: rank 0 starts the others and watches them; whatever happens to one ends all.

A failing rank says why in the file in which the ranks met, and ends; the system closes its connections, and whoever
waits for it wakes up. Where that does not help (a GPU that waits in a kernel), a thread ends the process.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.store import TrialFolder
from harness.worker.exit_codes import EXIT_DONE, EXIT_FAILED, EXIT_PREEMPTED
from harness.worker.signals import blocked_stop_signals

if TYPE_CHECKING:
    from torch.distributed import Store

    from harness.sweep.schema import TrialConfig
    from harness.train.distributed import Group, RankFailed

POLL_SECONDS = 0.5
SETTLE_SECONDS = 1.0  # between a lost connection and the question who is to blame: the kernel needs a moment
GRACE_SECONDS = 5.0  # for the main thread to notice that a rank is gone; then the process is ended
LOST_CONTACT = "lost the connection to another rank, which ended or was killed"
CAUSE_KEY = "cause"  # of the first rank that failed: {"rank", "status", "message"}

Children = Sequence[subprocess.Popen[bytes]]


def check_rank(rank: int | None, trial: TrialConfig) -> None:
    """Raises: UserError for a rank that the trial does not have."""
    size = trial.train.num_processes
    if rank is not None and rank >= size:
        raise UserError(f"--rank {rank}: the trial has train.num_processes {size}, so ranks 0 to {size - 1}")


@contextmanager
def leading(
    folder: TrialFolder, trial: TrialConfig, rendezvous: Path | None, end: Callable[[str, str], None]
) -> Iterator[Group]:
    """The group of a trial as its rank 0 sees it.

    Starts the other ranks here, unless they come to `rendezvous` by themselves.
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
    children = [] if rendezvous else _start(folder, file, size)
    try:
        with _told(store, 0), _watched(store, children, end), joined(store, 0, size, device) as group:
            yield group
        with suppress(subprocess.TimeoutExpired):  # all is done, however slowly they end
            for child in children:
                child.wait(GRACE_SECONDS)
    finally:
        _kill(children)
        if rendezvous is None:
            file.unlink(missing_ok=True)


@contextmanager
def following(trial: TrialConfig, rank: int, rendezvous: Path) -> Iterator[Group]:
    """The group of a trial as another rank than the first sees it."""
    from harness.train.distributed import joined, open_store

    size, device = trial.train.num_processes, trial.train.device
    store = open_store(rendezvous, size)
    with _told(store, rank), _watched(store, [], lambda *cause: None), joined(store, rank, size, device) as group:
        yield group


def _start(folder: TrialFolder, file: Path, size: int) -> list[subprocess.Popen[bytes]]:
    """Starts ranks 1 and up on this machine; what they print goes where our own output goes."""
    loopback = "lo" if sys.platform == "linux" else "lo0"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)  # no name of this host has to resolve, nothing leaves it
    os.environ["LOCAL_RANK"] = "0"
    command = [sys.executable, "-m", "harness", "worker", str(folder.path), "--stage", "train"]
    command += ["--rendezvous", str(file), "--parent", str(os.getpid())]
    children = []
    with blocked_stop_signals():  # inherited: a rank that is still importing is not killed by a request to stop
        for rank in range(1, size):
            environment = {**os.environ, "LOCAL_RANK": str(rank)}
            children.append(
                subprocess.Popen([*command, "--rank", str(rank)], stdin=subprocess.DEVNULL, env=environment)
            )
    return children


def _kill(children: Children) -> None:
    """Ends what is left of them: they hold nothing that is not in the checkpoint or in rank 0."""
    for child in children:
        child.kill()
    for child in children:
        child.wait()


@contextmanager
def _told(store: Store, rank: int) -> Iterator[None]:
    """Says in the store why this rank fails; the first to say so is the cause. Turns a lost connection into its cause.

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
    """Whether torch says that a connection to another rank is gone."""
    return isinstance(error, RuntimeError) and re.search("Connection (closed|reset) by peer", str(error)) is not None


def _failure(cause: str) -> RankFailed:
    from harness.train.distributed import RankFailed

    told = json.loads(cause)
    return RankFailed(told["status"], f"rank {told['rank']}: {told['message']}")


@contextmanager
def _watched(store: Store, children: Children, end: Callable[[str, str], None]) -> Iterator[None]:
    """Looks after the other ranks from a thread while the main one trains.

    Raises:
        RankFailed: one of the children was ended by a signal or exited without a word.
    """
    closed = threading.Event()
    watcher = threading.Thread(target=_watch, args=(store, children, end, closed), daemon=True)
    watcher.start()
    try:
        yield
    except RuntimeError as error:
        time.sleep(SETTLE_SECONDS)
        silent = _ended_silently(store, children)
        if silent is not None:
            raise silent from error
        raise
    finally:
        closed.set()
        watcher.join()


def _watch(store: Store, children: Children, end: Callable[[str, str], None], closed: threading.Event) -> None:
    while not closed.wait(POLL_SECONDS):
        failure = _found(store, children)
        if failure is None:
            continue
        if closed.wait(GRACE_SECONDS):
            return
        print(f"ended: {failure}", file=sys.stderr, flush=True)
        _kill(children)
        end(failure.status, str(failure))
        os._exit(EXIT_PREEMPTED if failure.status == "lost" else EXIT_FAILED)


def _found(store: Store, children: Children) -> RankFailed | None:
    """The failure of any rank, if there is one. A signal comes before the words of those it cut off."""
    told = _failure(store.get(CAUSE_KEY).decode()) if store.check([CAUSE_KEY]) else None
    return _ended_silently(store, children) or told


def _ended_silently(store: Store, children: Children) -> RankFailed | None:
    """The first child that a signal ended, or that failed and nobody has told of a cause."""
    from harness.train.distributed import RankFailed

    for rank, child in enumerate(children, start=1):
        code = child.poll()
        if code is not None and code < 0:
            cause = " (out of memory, perhaps)" if -code == signal.SIGKILL else ""
            return RankFailed("killed", f"rank {rank} was ended by {signal.Signals(-code).name}{cause}")
        if code not in (None, EXIT_DONE, EXIT_PREEMPTED) and not store.check([CAUSE_KEY]):
            return RankFailed("failed", f"rank {rank} ended with exit code {code}; the log says more")
    return None
