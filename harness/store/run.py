"""A run: a folder with a plan and one folder for each trial."""

from __future__ import annotations

import os
from pathlib import Path

from harness.bounds import is_id
from harness.errors import UserError
from harness.store.files import write_atomically
from harness.store.load import PLAN_FILE, read_plan
from harness.store.plan_file import PlanFile
from harness.store.sealed.models import sealed_text
from harness.store.sealed.reading import DamagedError, read_bytes
from harness.store.trash import Trash
from harness.store.trial import TrialFolder

TUNING = "tuning"  # the folder of a search in its run


class Store:
    """The folder of a run: `plan.json`, `trials/`, `report/`."""

    def __init__(self, path: Path):
        self.path = path
        self.plan_file = path / PLAN_FILE
        self.trials_folder = path / "trials"
        self.lock_file = path / ".lock"
        self.trash = Trash(path)

    def trial(self, trial_id: str) -> TrialFolder:
        """Return the folder of a trial, which need not exist yet. Raises: UserError for what is no id."""
        if not is_id(trial_id):
            raise UserError(f"{str(trial_id)[:40]!r}: no id of a trial. An id is 12 hex digits, e.g. 397cdb01326a.")
        return TrialFolder(self.trials_folder / trial_id)

    def trials(self) -> list[TrialFolder]:
        """Return all trials that have a folder, by id; what is named otherwise, and a link, is none."""
        if not self.trials_folder.is_dir():
            return []
        with os.scandir(self.trials_folder) as found:
            names = [item.name for item in found if is_id(item.name) and item.is_dir(follow_symlinks=False)]
        return [TrialFolder(self.trials_folder / name) for name in sorted(names)]

    def write_plan(self, plan: PlanFile) -> None:
        """Replace `plan.json`. The caller holds the run's lock."""
        self.path.mkdir(parents=True, exist_ok=True)
        for stale in self.path.glob(".*.tmp"):  # of a command that was killed while it wrote
            stale.unlink(missing_ok=True)
        text = sealed_text(plan)
        if not self._has(text):
            write_atomically(self.plan_file, text)

    def _has(self, text: str) -> bool:
        """Return whether the plan file has this text."""
        try:
            return read_bytes(self.plan_file) == text.encode()
        except (OSError, DamagedError):
            return False

    def plan(self) -> PlanFile:
        """Read the plan of the run. Raises: UserError where there is none, or one that cannot be used."""
        return read_plan(self.path)


def parts_of(run: Path) -> list[Store]:
    """Return the store of a run and, if the run has a search, the store of that."""
    searched = Store(run / TUNING)
    return [Store(run), *([searched] if searched.plan_file.exists() else [])]
