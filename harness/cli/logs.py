"""`logs`: the logs of a trial and of its job."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.common import arguments
from harness.errors import UserError
from harness.text.log_files import LogReader
from harness.units import counted

if TYPE_CHECKING:
    from harness.store import Store, TrialFolder

POLL_SECONDS = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument("trial", help="the beginning of a trial id, a row's label, or seed=N; one trial must fit")
    parser.add_argument("--follow", action="store_true", help="continue until the trial has ended")


def run(parsed: argparse.Namespace) -> int:
    from harness.launch import launchers

    store, folder = _trial(parsed.run, parsed.trial)
    job = folder.written_status().job
    if job:
        print(f"job {job}: {launchers.describe(store, job).text or 'not started'}")
    if message := folder.status().message:  # tables show its beginning and its end
        print(f"{folder.status().status}: {message}")
    readers: dict[Path, LogReader] = {}
    _show(store, folder, readers)
    while parsed.follow and _is_open(folder):
        time.sleep(POLL_SECONDS)
        _show(store, folder, readers)
    return 0


def _trial(run: Path, wanted: str) -> tuple[Store, TrialFolder]:
    """Returns the one trial that fits, of the run or of its search. Raises: UserError where none or several fit."""
    from harness.store import parts_of
    from harness.sweep.select import select_parts

    parts = parts_of(run)
    chosen = zip(parts, select_parts(parts, [wanted]), strict=True)
    found = [(store, trial) for store, trials in chosen for trial in trials]
    if len(found) != 1:
        fits = "no trial fits yet" if not found else f"{counted(len(found), 'trial')} fit"
        known = f" Give the beginning of one id: {', '.join(trial for _, trial in found[:8])}" if found else ""
        raise UserError(f"{wanted}: {fits}.{known}")
    store, trial = found[0]
    return store, store.trial(trial)


def _is_open(folder: TrialFolder) -> bool:
    from harness.launch.tasks import state_of
    from harness.record import OPEN_STATUSES

    return state_of(folder).status in OPEN_STATUSES


def _show(store: Store, folder: TrialFolder, readers: dict[Path, LogReader]) -> None:
    """Prints what the logs have beyond what was shown."""
    from harness.launch import launchers

    job = folder.written_status().job
    for path in [*(launchers.logs(store, job) if job else []), folder.log_file]:
        if not path.is_file():
            continue
        if path not in readers:
            print(f"==> {path} <==")
        for text in readers.setdefault(path, LogReader(path)).new():
            sys.stdout.write(text)
        sys.stdout.flush()
