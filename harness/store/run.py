"""A run: a folder with a plan and one folder for each trial."""

from __future__ import annotations

from pathlib import Path

from harness.store.files import write_atomically
from harness.store.load import PLAN_FILE, read_plan
from harness.store.plan_file import PlanFile
from harness.store.trial import TrialFolder

TUNING = "tuning"  # the folder of a search in its run


class Store:
    """The folder of a run: `plan.json`, `trials/`, `report/`."""

    def __init__(self, path: Path):
        self.path = path
        self.plan_file = path / PLAN_FILE
        self.trials_folder = path / "trials"
        self.lock_file = path / ".lock"

    def trial(self, trial_id: str) -> TrialFolder:
        """Return the folder of a trial, which need not exist yet."""
        return TrialFolder(self.trials_folder / trial_id)

    def trials(self) -> list[TrialFolder]:
        """Return all trials that have a folder, by id."""
        if not self.trials_folder.is_dir():
            return []
        return [TrialFolder(path) for path in sorted(self.trials_folder.iterdir()) if path.is_dir()]

    def write_plan(self, plan: PlanFile) -> None:
        """Replace `plan.json`. The caller holds the run's lock."""
        self.path.mkdir(parents=True, exist_ok=True)
        for stale in self.path.glob(".*.tmp"):  # of a command that was killed while it wrote
            stale.unlink(missing_ok=True)
        text = plan.model_dump_json(indent=1)
        if not self.plan_file.exists() or self.plan_file.read_bytes() != text.encode():
            write_atomically(self.plan_file, text)

    def plan(self) -> PlanFile:
        """Read the plan of the run. Raises: UserError where there is none, or one that cannot be used."""
        return read_plan(self.path)


def parts_of(run: Path) -> list[Store]:
    """Return the store of a run and, if the run has a search, the store of that."""
    searched = Store(run / TUNING)
    return [Store(run), *([searched] if searched.plan_file.exists() else [])]
