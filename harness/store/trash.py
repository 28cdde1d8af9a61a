"""The trash of a run: what a command took out of it, with a list, until `clean --trash` empties it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import UserError

TRASH = "trash"
LIST_FILE = "list.jsonl"


@dataclass(frozen=True)
class Trash:
    """The folder `trash/` of a run: a numbered folder for each thing; `list.jsonl`: what, when, why, which command."""

    run: Path

    @classmethod
    def of_trial(cls, trial: Path) -> Trash:
        """Return the trash of the run that has this trial's folder."""
        return cls(trial.parent.parent)

    @property
    def path(self) -> Path:
        """Return the folder of the trash, which need not exist yet."""
        return self.run / TRASH

    def take(self, path: Path, why: str) -> Path | None:
        """Move a file or a folder of the run to the trash; return its new path, None if it does not exist.

        A link moves itself, not what it points to.

        Raises: UserError where that is not possible.
        """
        if not os.path.lexists(path):
            return None
        self.check()
        try:
            place = self._new_place()
            where = place / path.name
            entry = {
                "what": os.path.relpath(path, self.run), "kept_in": os.path.relpath(where, self.run), "why": why,
                "when": datetime.now(UTC).isoformat(timespec="seconds"),
                "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:1000],
            }  # fmt: skip
            with open(self.path / LIST_FILE, "a", encoding="utf-8") as file:  # first: nothing lies there unlisted
                file.write(json.dumps(entry) + "\n")
            path.rename(where)
        except OSError as error:
            raise UserError(f"{path}: cannot be moved to {self.path} ({error.strerror}). It stays as it is.") from error
        return where

    def _new_place(self) -> Path:
        """Create the next numbered folder."""
        self.path.mkdir(parents=True, exist_ok=True)
        number = max([int(item.name) for item in self.items() if item.name.isdecimal()], default=0)
        while True:
            number += 1
            try:
                (self.path / f"{number:04d}").mkdir()
            except FileExistsError:  # another process took the number
                continue
            return self.path / f"{number:04d}"

    def check(self) -> None:
        """Check that the trash lies in the run. Raises: UserError for a link to another place, or a file."""
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise UserError(f"{self.path}: is a link or a file, and a folder is needed. Move it away.")

    def items(self) -> list[Path]:
        """Return the folders of the trash, each with one thing."""
        return sorted(item for item in self.path.iterdir() if item.name != LIST_FILE) if self.path.is_dir() else []

    def empty(self) -> None:
        """Delete everything in the trash. Raises: UserError."""
        self.check()
        try:
            if self.path.exists():
                shutil.rmtree(self.path)
        except OSError as error:
            raise UserError(f"{error.filename}: cannot be deleted ({error.strerror}).") from error
