"""Runs one trial in its own process: trains, evaluates, counts, writes the record; in a second stage, measures time.

Every launcher starts it as `python -m harness worker FOLDER --stage train|measure`; the folder is its only input. Its
exit code shows whether the launcher should start the trial again, see `signals`. In a trial of several processes this
one is rank 0; the others, numbered by `--rank`, train with it and write nothing.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.store import Lease, TrialFolder
from harness.store.files import unlock_all
from harness.worker.reporter import LeaseLost, Reporter, Stage
from harness.worker.signals import EXIT_DONE, EXIT_FAILED, EXIT_LOCKED, EXIT_PREEMPTED, StopRequest, end_with_parent
from harness.worker.watchdog import DEFAULT_STALL_MINUTES, Watchdog

__all__ = ["EXIT_DONE", "EXIT_FAILED", "EXIT_LOCKED", "EXIT_PREEMPTED", "Stage", "run"]


def run(
    path: Path,
    stage: Stage,
    *,
    alone: bool = False,
    parent: int | None = None,
    rank: int | None = None,
    rendezvous: Path | None = None,
) -> int:
    """Runs one stage of a trial; returns the exit code.

    `alone`: the launcher runs nothing else meanwhile. `rank`: the number of this process, where all processes of the
    trial are started from outside and meet in the file `rendezvous`; None: rank 0, which starts the others.
    """
    stop = StopRequest()  # before torch is imported: a signal in those seconds must not kill the worker
    if parent is not None:
        # a rank other than 0 may be stuck in a kernel, where it ignores requests, and has nothing to save
        end_with_parent(parent, signal.SIGKILL if rank else signal.SIGTERM)
    folder = TrialFolder(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such folder. Give the folder of a trial, e.g. runs/window_size/trials/ID.")
    if rank and rendezvous is not None:
        return _follow(folder, stage, rank, rendezvous, stop)
    lease = folder.lease()
    with lease.held() as got:
        if got:
            return _lead(folder, stage, lease, stop, rendezvous, alone=alone)
    print(f"{path}: another worker has this trial", file=sys.stderr)
    return EXIT_LOCKED


def _lead(
    folder: TrialFolder, stage: Stage, lease: Lease, stop: StopRequest, rendezvous: Path | None, *, alone: bool
) -> int:
    """Runs a stage as rank 0, which holds the trial: every outcome becomes the trial's status."""
    for stale in folder.stale_files():
        stale.unlink(missing_ok=True)
    reporter = Reporter(folder, stage, lease)
    start = datetime.now(UTC).isoformat(" ", timespec="seconds")
    print(f"{start}: {stage}, process {reporter.status.pid} on {reporter.status.node}", flush=True)
    try:
        with _watching(folder, partial(_end_stalled, reporter)) as reporter.alive:
            from harness.worker import stages

            if stage == "train":
                return stages.train_stage(folder, reporter, stop, rendezvous)
            return stages.measure_stage(folder, reporter, stop, alone)
    except LeaseLost as error:
        print(error, file=sys.stderr)
        return EXIT_LOCKED
    except BaseException as error:  # process boundary
        traceback.print_exc()
        from harness.measure.failure import verdict

        status, message = verdict(error)
        reporter.end(status, message)
        return EXIT_PREEMPTED if status == "lost" else EXIT_FAILED


def _end_stalled(reporter: Reporter, message: str) -> None:
    """Ends this process, whose main thread hangs somewhere."""
    with suppress(OSError, LeaseLost):
        reporter.end("timeout", message)
    unlock_all()
    os._exit(EXIT_FAILED)


@contextmanager
def _watching(folder: TrialFolder, on_stall: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Watches this process for a stall (`launch.stall_minutes`); yields the function that takes signs of life."""
    limit_s = _stall_limit_s(folder.config())
    watchdog = Watchdog(limit_s, on_stall)
    with watchdog.watching() if limit_s < math.inf else nullcontext():
        yield watchdog.alive


def _stall_limit_s(config: dict[str, Any]) -> float:
    """Returns the seconds without progress after which a trial ends.

    A rank that waits for another one in vain gives up by itself after ten minutes, and the trial stays open.
    """
    try:
        minutes = config["launch"].get("stall_minutes", DEFAULT_STALL_MINUTES)
        waits = 10.0 if config["trial"]["train"].get("num_processes", 1) > 1 else 0.0
        return math.inf if minutes is None else 60 * (float(minutes) + waits)
    except (KeyError, TypeError, ValueError, AttributeError):  # the stage reports what is wrong with the file
        return 60 * DEFAULT_STALL_MINUTES


def _follow(folder: TrialFolder, stage: Stage, rank: int, rendezvous: Path, stop: StopRequest) -> int:
    """Runs a rank other than 0: it has no lock and writes no status and no files."""
    try:
        with _watching(folder, lambda message: None) as stop.alive:  # rank 0 writes the status
            from harness.worker import stages

            return stages.follow(folder, rank, rendezvous, stop) if stage == "train" else EXIT_DONE
    except BaseException:  # process boundary: rank 0 knows the cause by now, this is for the log
        print(f"rank {rank}:", file=sys.stderr)
        traceback.print_exc()
        return EXIT_FAILED
