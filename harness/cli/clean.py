"""`clean`: remove checkpoints and stale trials of a run."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.common import arguments
from harness.errors import UserError
from harness.record import OPEN_STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.store import Store, TrialFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument("--checkpoints", action="store_true", help="remove the checkpoints of trials that are done")
    parser.add_argument("--stale", action="store_true", help="remove trials that the sweep no longer asks for")
    parser.add_argument("--dry-run", action="store_true", help="print what would be removed and remove nothing")


def run(parsed: argparse.Namespace) -> int:
    from harness import units
    from harness.store import Store, exclusive_lock, parts_of

    if not (parsed.checkpoints or parsed.stale):
        raise UserError("clean: nothing to remove was given. Add --checkpoints, --stale, or both.")
    store = Store(parsed.run)
    store.plan()  # a folder without one is no run
    freed, number = 0, 0
    for part in parts_of(store.path):
        with exclusive_lock(part.lock_file) as got:
            if not got:
                raise UserError(f"{part.path}: a sweep command is running in this folder. Wait for it to end.")
            for path in _spent(part, parsed):
                freed += _size(path)
                number += 1
                print(path)
                if not parsed.dry_run:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    print(f"{number} {'would be ' if parsed.dry_run else ''}removed, {units.num_bytes(freed)}")
    return 0


def _size(path: Path) -> int:
    files = [item for item in path.rglob("*") if item.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _spent(store: Store, parsed: argparse.Namespace) -> Iterator[Path]:
    """Yield what can be removed from a run or its search: folders of trials, and files in those that stay."""
    asked = {trial_id for row in store.plan().rows for trial_id in row.trials.values()}
    for folder in store.trials():
        stale = parsed.stale and folder.trial_id not in asked
        if folder.is_held() or (stale and _has_job(folder)):
            continue
        if stale:
            yield folder.path
        elif parsed.checkpoints:
            yield from _spent_files(folder)


def _has_job(folder: TrialFolder) -> bool:
    """Return True, and print a message, if a job may still run the trial."""
    status = folder.written_status()
    waits = bool(status.job) and status.status in OPEN_STATUSES
    if waits:
        print(f"{folder.path}: kept: its job {status.job} may still run it. To end the job: sweep --cancel-dropped")
    return waits


def _spent_files(folder: TrialFolder) -> Iterator[Path]:
    """Yield removable files of a trial that stays: its checkpoint once it has ended, and files of killed writers."""
    from harness.launch.tasks import state_of

    checkpoints = [file for file in folder.checkpoint_files if file.exists()]
    if checkpoints and state_of(folder).status in ("done", "pruned"):
        yield from checkpoints
    yield from folder.stale_files()
