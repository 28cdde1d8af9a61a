"""What must hold while a sweep is disturbed and at its end; everything that does not is a line of text."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.launch.overview import standings
from harness.record import STATUSES
from harness.store import Store
from harness.store.files import is_locked
from tests.e2e import records, scores
from tests.faults.concurrency.traced import NUM_STEPS, Traced, identity_of, trace_of
from tests.faults.scene import Finished, attempts, trial_folders

MIXED = "several versions of the code"
Trace = dict[tuple[int, int], int]


@dataclass
class Judge:
    """Looks at the run of a scene as often as it is asked to; knows how every finished trial was trained."""

    scene: Traced
    traces: dict[str, Trace] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.finished = Finished(self.scene.run)

    def look(self) -> list[str]:
        """Returns what is wrong now: finished records that are gone or other ones, trials without an honest state."""
        faults = self.finished.look()
        for file in self.finished.trained:
            trial_id = file.parent.name
            if trial_id not in self.traces:
                self.traces[trial_id] = trace_of(file.with_name("checkpoint.safetensors"))
        return faults + states(self.scene.run)

    def at_the_end(self, undisturbed: dict[str, Any], shown: Shown) -> list[str]:
        """Returns what is wrong with the finished run, and with the output about it."""
        faults = [f"left behind: {item.kind} {item.pid}" for item in self.scene.live()]
        faults += [f"left behind: {path}" for path in self.scene.run.rglob(".*.tmp")]
        if scores(self.scene.run) != undisturbed:
            faults.append("wrong: the results are not those of the undisturbed sweep")
        for trial in trial_folders(self.scene.run):
            faults += held(trial) + repeated(trial)
        codes = {key: str(record["code"]) for key, record in records(self.scene.run).items()}
        for trial_id, trace in self.traces.items():
            faults += trained_by(trial_id, trace, codes.get(trial_id, ""))
        plan = json.loads((self.scene.run / "plan.json").read_text())
        faults += unmarked(plan["rows"], self.traces, codes, shown)
        return faults


def states(run: Path) -> list[str]:
    """Returns what is wrong with the states that every trial of the plan has, as any user would read them now."""
    store = Store(run)
    try:
        plan = store.plan()
    except Exception:  # not yet written, or deleted by a fault
        return []
    try:
        found = [(item.folder.trial_id, item.status) for item in standings(store, plan)]
    except Exception as error:  # whatever it is, it is what a user would have seen
        return [f"traceback: reading the status: {error!r}"]
    return [f"dishonest: {trial_id} is {status}" for trial_id, status in found if status not in STATUSES]


def held(trial: Path) -> list[str]:
    """Returns whether something still has the lock of a trial."""
    return [f"left behind: the lock of {trial.name}"] if is_locked(trial / ".lock") else []


def repeated(trial: Path) -> list[str]:
    """Returns the stages that workers completed more than once, as far as the file of the attempts remembers."""
    stage, ended = "", []
    for line in attempts(trial) if (trial / "attempts.jsonl").exists() else ():
        stage = line.get("stage", stage)
        if line.get("ended") in ("queued", "done") and not line.get("by_another"):
            ended.append(stage)
    return [f"twice: {trial.name}: {stage} was completed {ended.count(stage)} times" for stage in {*ended}
            if ended.count(stage) > 1]  # fmt: skip


def trained_by(trial_id: str, trace: Trace, code: str) -> list[str]:
    """Returns what a record does not say about the code that trained it."""
    if not trace:  # its checkpoint was deleted before anything was seen of it
        return []
    faults = [] if sum(trace.values()) == NUM_STEPS else [f"wrong: {trial_id}: {sum(trace.values())} steps in all"]
    unnamed = [pair for pair in trace if identity_of(pair) not in code.split("+")]
    return faults + [f"unmarked: {trial_id}: revision {pair} trained it, its record says {code}" for pair in unnamed]


@dataclass(frozen=True)
class Shown:
    """Output for the user after the run: the marks of each row and all text of the report, and the status."""

    marks: dict[str, str]
    page: str
    status: str

    @classmethod
    def of(cls, run: Path, status: str) -> Shown:
        """Reads the report."""
        with open(run / "report/table.csv", encoding="utf-8", newline="") as file:
            marks = {row["row_id"]: row["marks"] for row in csv.DictReader(file)}
        return cls(marks, (run / "report/table.md").read_text(encoding="utf-8"), status)


def unmarked(
    rows: Sequence[dict[str, Any]], traces: dict[str, Trace], codes: dict[str, str], shown: Shown
) -> list[str]:
    """Returns the marks that are missing where trials were made by several codes."""
    faults, revisions, versions = list[str](), set[tuple[int, int]](), set[str]()
    for row in rows:
        found = {pair for trial_id in row["trials"].values() for pair in traces.get(trial_id, {})}
        named = {code for trial_id in row["trials"].values() for code in codes.get(trial_id, "").split("+")}
        revisions |= found
        versions |= named
        if len(found) < 2 and len(named) < 2:
            continue
        if MIXED not in shown.marks[row["row_id"]]:
            faults.append(f"unmarked: the report has no mark for {row['label']}, made by {found}, {named}")
        if not any(MIXED in line and row["label"] in line for line in shown.status.splitlines()):
            faults.append(f"unmarked: the status has no mark for {row['label']}, made by {found}, {named}")
    if (len(revisions) > 1 or len(versions) > 1) and f"made by {MIXED}" not in shown.page:
        faults.append(f"unmarked: the report has no warning of {revisions}, {versions}")
    return faults
