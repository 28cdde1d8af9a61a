"""Where the trials of a run stand, from files alone: what `status` and `watch` show."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness import units
from harness.errors import UserError
from harness.launch.tasks import State, state_of
from harness.record import OPEN_STATUSES, PlanFile
from harness.store import Store, TrialFolder, TrialStatus

TROUBLED = ("failed", "killed", "lost", "oom", "nan", "timeout", "invalid")


@dataclass(frozen=True)
class Standing:
    """One trial of a plan: `written` is its status file, `status` what its files say together."""

    folder: TrialFolder
    label: str
    seed: str
    status: str
    message: str
    written: TrialStatus

    @property
    def is_open(self) -> bool:
        """Whether it may still come to an end by itself or by running the sweep again."""
        return self.status in OPEN_STATUSES

    def progress(self) -> str:
        """Step, machine and age of the last word of a running trial; "" for any other."""
        if self.status != "running":
            return ""
        steps = f"step {self.written.step}/{self.written.num_steps}, " if self.written.num_steps else ""
        age = units.duration(max(time.time() - self.written.updated_at, 0.0))
        return f"{self.written.stage}, {steps}on {self.written.node or self.written.host}, {age} ago"

    def text(self) -> str:
        """One line for people."""
        more = self.message or self.progress()
        starts = f" (start {self.written.num_starts})" if self.is_open and self.written.num_starts > 2 else ""
        return (
            f"{self.status:9s} {self.folder.trial_id}  {self.label}, seed {self.seed}{starts}{': ' * bool(more)}{more}"
        )


def standings(store: Store, plan: PlanFile) -> Iterator[Standing]:
    """Every trial of the plan, by row and seed."""
    for row in plan.rows:
        for seed, trial_id in row.trials.items():
            folder = store.trial(trial_id)
            try:
                state = state_of(folder)
            except UserError as error:  # a damaged record is this trial's trouble, not that of all the others
                state = State("invalid", str(error))
            written = TrialStatus() if state.status == "done" else folder.written_status()
            yield Standing(folder, row.label, seed, state.status, state.message, written)


def tally(found: Iterable[Standing]) -> str:
    """How many trials stand where, most frequent first: '12 done, 3 running'."""
    counts = Counter(standing.status for standing in found)
    return ", ".join(f"{number} {status}" for status, number in counts.most_common())


def no_longer_asked(store: Store, plan: PlanFile) -> list[str]:
    """Trials that have a folder and are not in the plan."""
    asked = {trial_id for row in plan.rows for trial_id in row.trials.values()}
    return [folder.trial_id for folder in store.trials() if folder.trial_id not in asked]
