"""`clean`: remove what a finished run no longer needs."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import arguments
from harness.errors import UserError
from harness.record import OPEN_STATUSES

if TYPE_CHECKING:
    from harness.store import TrialFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument("--checkpoints", action="store_true", help="remove the checkpoints of finished trials")
    parser.add_argument("--stale", action="store_true", help="remove trials that the sweep no longer asks for")
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed and remove nothing")


def run(parsed: argparse.Namespace) -> int:
    from harness import units
    from harness.store import Store, exclusive_lock

    if not (parsed.checkpoints or parsed.stale):
        raise UserError("clean: say what to remove: --checkpoints, --stale, or both")
    store = Store(parsed.run)
    asked = {trial_id for row in store.plan().rows for trial_id in row.trials.values()}
    with exclusive_lock(store.lock_file) as got:
        if not got:
            raise UserError(f"{store.path}: a sweep command is at work in this folder. Wait for it to end.")
        freed, number = 0, 0
        for folder in store.trials():
            stale = parsed.stale and folder.trial_id not in asked
            if folder.is_held() or (stale and _has_job(folder)):
                continue
            for path in [folder.path] if stale else _spent(folder, parsed.checkpoints):
                files = [item for item in path.rglob("*") if item.is_file()] if stale else [path]
                freed += sum(file.stat().st_size for file in files)
                number += 1
                print(path)
                if not parsed.dry_run:
                    shutil.rmtree(path) if stale else path.unlink()
    print(f"{number} {'would be ' if parsed.dry_run else ''}removed, {units.num_bytes(freed)}")
    return 0


def _has_job(folder: TrialFolder) -> bool:
    """Whether a SLURM job may still come for the trial; says so."""
    status = folder.written_status()
    waits = bool(status.job) and status.status in OPEN_STATUSES
    if waits:
        print(f"{folder.path}: left, its job {status.job} may still run it; first: sweep --cancel-dropped")
    return waits


def _spent(folder: TrialFolder, checkpoints: bool) -> list[Path]:
    """What a trial that stays does not need: its checkpoint once it is done, and what killed writers left behind."""
    from harness.launch.todo import state_of

    if not checkpoints:
        return []
    done = folder.checkpoint_file.exists() and state_of(folder)[0] == "done"
    return [*([folder.checkpoint_file] if done else []), *folder.stale_files()]
