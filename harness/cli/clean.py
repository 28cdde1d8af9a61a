"""`clean`: remove checkpoints, move stale trials to the trash, empty the trash."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.common import arguments
from harness.cli.common.confirm import add_yes, confirm
from harness.errors import UserError
from harness.record import OPEN_STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.store import Store, TrialFolder


@dataclass(frozen=True)
class Removal:
    """Something to remove: moved to the trash of its store, or deleted at once."""

    store: Store
    path: Path
    is_kept: bool = False

    def run(self) -> None:
        """Remove it. Raises: UserError where that is not possible."""
        if self.is_kept:
            self.store.trash.take(self.path, "the sweep no longer asks for it")
        elif self.path == self.store.trash.path:
            self.store.trash.empty()
        else:
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                raise UserError(f"{self.path}: cannot be removed ({error.strerror}).") from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument("--checkpoints", action="store_true", help="remove the checkpoints of trials that are done")
    parser.add_argument(
        "--stale", action="store_true", help="move trials that the sweep no longer asks for to the run's trash"
    )
    parser.add_argument("--trash", action="store_true", help="delete what earlier commands moved to the run's trash")
    parser.add_argument("--dry-run", action="store_true", help="print what would be removed and remove nothing")
    add_yes(parser)


def run(parsed: argparse.Namespace) -> int:
    from harness import units
    from harness.store import Store, parts_of

    if not (parsed.checkpoints or parsed.stale or parsed.trash):
        raise UserError("clean: nothing to remove was given. Add --checkpoints, --stale, --trash, or several.")
    Store(parsed.run).plan()  # a folder without one is no run
    with ExitStack() as locks:
        found = []
        for store in parts_of(parsed.run):
            _lock(store, locks)
            found += list(_removals(store, parsed))
        for removal in found:
            print(removal.path)
        size = units.num_bytes(sum(_size(removal.path) for removal in found))
        if parsed.dry_run:
            print(f"{len(found)} would be removed, {size}")
            return 0
        if not found:
            print("nothing to remove")
        elif confirm(f"{_summary(found)}, {size}", yes=parsed.yes):
            for removal in found:
                removal.run()
            print(f"{len(found)} removed, {size}")
    return 0


def _lock(store: Store, locks: ExitStack) -> None:
    """Take the lock of a store until the end of the command. Raises: UserError where another command has it."""
    from harness.store import exclusive_lock

    if not locks.enter_context(exclusive_lock(store.lock_file)):
        raise UserError(f"{store.path}: a sweep command is running in this folder. Wait for it to end.")


def _summary(found: Sequence[Removal]) -> str:
    """Say what will be done: '2 trials move to the trash, 3 files are deleted'."""
    from harness.units import counted

    kept = [removal for removal in found if removal.is_kept]
    trash = [removal for removal in found if removal.path == removal.store.trash.path]
    files = len(found) - len(kept) - len(trash)
    parts = [f"{counted(len(kept), 'trial')} to move to {kept[0].store.trash.path}"] if kept else []
    parts += [f"{counted(files, 'file')} to delete"] if files else []
    parts += ["all that is in the trash to delete for good"] if trash else []
    return ", ".join(parts)


def _size(path: Path) -> int:
    files = [path] if path.is_symlink() or path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    return sum(file.lstat().st_size for file in files)


def _removals(store: Store, parsed: argparse.Namespace) -> Iterator[Removal]:
    """Yield what can be removed from a run or its search."""
    if parsed.trash and store.trash.items():
        store.trash.check()
        yield Removal(store, store.trash.path)
    if not (parsed.stale or parsed.checkpoints):
        return
    asked = {trial_id for row in store.plan().rows for trial_id in row.trials.values()}
    for folder in store.trials():
        stale = parsed.stale and folder.trial_id not in asked
        if folder.is_held() or (stale and _has_job(folder)):
            continue
        if stale:
            yield Removal(store, folder.path, is_kept=True)
        elif parsed.checkpoints:
            yield from (Removal(store, path) for path in _spent_files(folder))


def _has_job(folder: TrialFolder) -> bool:
    """Return True, and print a message, if a job may still run the trial."""
    status = folder.written_status()
    waits = bool(status.job) and status.status in OPEN_STATUSES
    if waits:
        print(f"{folder.path}: kept: its job {status.job} may still run it. To end the job: sweep --cancel-dropped")
    return waits


def _spent_files(folder: TrialFolder) -> Iterator[Path]:
    """Yield removable files of a trial that stays: its checkpoints once it has ended, and files of killed writers."""
    from harness.launch.tasks import state_of

    checkpoints = [file for file in folder.checkpoint_files if file.exists()]
    # with a damaged record the checkpoint saves the training
    if checkpoints and state_of(folder, verify=True).status in ("done", "pruned"):
        yield from checkpoints
    yield from folder.stale_files()
