"""Opens the journal of a search: repaired after a kill, checked line by line, and sealed where it grows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

from harness.store.checks.journal import (
    JOURNAL,
    KEY,
    JournalEnd,
    check_against_studies,
    check_journal,
    damaged_line,
    line_of,
    line_seal,
)

LOCK_SUFFIX = ".lock"  # of optuna's lock file next to the journal


class SealedJournal(JournalFileBackend):
    """A journal whose lines are sealed as they are written, see `harness.store.checks.journal`."""

    def __init__(self, path: Path, end: JournalEnd):
        super().__init__(str(path))
        self._path = path
        self._know(end)

    def _know(self, end: JournalEnd) -> None:
        self.num_lines, self.seal = end.num_lines, end.seal
        self._size = self._path.stat().st_size

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append logs, each with its seal."""
        if self._path.stat().st_size != self._size:  # a viewer of the journal wrote a note
            self._know(check_journal(self._path))
        sealed, before = [], self.seal
        for log in logs:
            before = line_seal(before, line_of(log))
            sealed.append({**log, KEY: before})
        super().append_logs(sealed)
        self.num_lines, self.seal = self.num_lines + len(logs), before
        self._size = self._path.stat().st_size


def open_journal(run: Path) -> tuple[JournalStorage, SealedJournal]:
    """Opens `optuna.journal` of a run for writing and repairs it after a killed writer.

    A killed writer may leave a partial line, which would corrupt later ones, and a stale lock. The caller holds the
    lock of the run, so there is no other writer.

    Raises: UserError for a damaged line.
    """
    path = run / JOURNAL
    Path(f"{path}{LOCK_SUFFIX}").unlink(missing_ok=True)
    end = check_journal(path)
    if lost := check_against_studies(run, end):
        print(f"{path}: its last {lost} lines are lost; the search makes them again from the records", flush=True)
    if path.exists() and path.stat().st_size > end.num_bytes:
        os.truncate(path, end.num_bytes)
    backend = SealedJournal(path, end)
    try:
        return JournalStorage(backend), backend
    except Exception as error:  # lines of an older version have no seal: optuna may raise anything
        number = _first_refused(list(backend.read_logs(0)))
        raise damaged_line(path, number, f"optuna refuses it: {type(error).__name__}") from error


class _Lines(BaseJournalBackend):
    """A journal in memory, to find the line that optuna refuses."""

    def __init__(self, logs: list[dict[str, Any]]):
        self.logs = logs

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise NotImplementedError


def _first_refused(logs: list[dict[str, Any]]) -> int:
    """Returns the number of the first line that optuna refuses, from 1."""
    sound, refused = 0, len(logs)
    while refused - sound > 1:
        middle = (sound + refused) // 2
        try:
            JournalStorage(_Lines(logs[:middle]))
            sound = middle
        except Exception:  # whatever optuna raises: this line is in the first half
            refused = middle
    return refused
