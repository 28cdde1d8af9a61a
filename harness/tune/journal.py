"""The journal of all studies of a run, `optuna.journal`: one writer, who holds the run's lock; many may read it."""

from __future__ import annotations

import os
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

JOURNAL = "optuna.journal"
LOCK_SUFFIX = ".lock"  # of optuna's own lock beside the journal


def open_journal(run: Path) -> JournalStorage:
    """Opens the journal of a run for its only writer, and removes what a killed one left.

    A writer killed in the midst leaves half a line, which would spoil all that is appended after it, and a lock that
    others would wait for. The caller holds the run's lock, so nobody else can be writing.
    """
    path = run / JOURNAL
    Path(f"{path}{LOCK_SUFFIX}").unlink(missing_ok=True)
    if path.exists():
        _cut_to_whole_lines(path)
    return JournalStorage(JournalFileBackend(str(path)))


def _cut_to_whole_lines(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
