"""Judges what the harness makes of one damaged file: no traceback, no hang, no silent change, no trial lost."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from tests.damage.damages import KINDS, damage, files
from tests.damage.scene import Answer, command, finished

HANG_SECONDS = 60
#: kinds whose files matter to a trial that is trained, and not to one that is done
BEFORE_TRAINING = ("checkpoint", "lists", "weights", "video")
ACCURACIES = re.compile(r"row_id|label|vary\..*|num_seeds_planned|.*_top[15]_.*|difference_.*")


@dataclass
class Verdict:
    """The outcome of one mutation; `noticed`: a command or a mark said something about it."""

    kind: str
    file: str
    what: str
    noticed: bool = False
    faults: list[str] = field(default_factory=list)


class HangError(Exception):
    """A command took longer than `HANG_SECONDS`."""


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def judge(place: Path, kind: str, seed: str) -> Verdict:
    """Damages one file in a copy of a finished run, runs the commands and returns the verdict. `place`: a folder."""
    name, generator = KINDS[kind][0], random.Random(seed)
    scene, copy = finished(place / "scenes", name), place / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(scene, copy, ignore=shutil.ignore_patterns("code"))
    (copy / f"runs/{name}/code").symlink_to(scene / f"runs/{name}/code")  # many files, and none is damaged
    path = generator.choice(files(copy, kind))
    original = files(copy, "record") if name == "searched" else sorted(copy.glob("runs/*/trials/*/record.json"))
    before = {file: file.read_bytes() for file in original}
    verdict = Verdict(kind, str(path.relative_to(copy)), damage(path, kind, generator))
    case = _Case(verdict, copy, name, before, _table(copy, name))
    with _alarm():
        try:
            case.show()
            case.resume(path)
        except HangError:
            verdict.faults.append(f"hang: more than {HANG_SECONDS} s")
    return verdict


@dataclass
class _Case:
    verdict: Verdict
    folder: Path
    name: str
    records: dict[Path, bytes]
    table: list[dict[str, str]]

    def show(self) -> None:
        """Runs the commands that only read, and compares every number that they show."""
        run, path = f"runs/{self.name}", self.folder / self.verdict.file
        content = path.read_bytes() if path.exists() else None
        report = self._run("report", run)
        for words in (["status", run, "--all"], ["doctor", run]):
            self._run(*words)
        if report.code == 0:
            self._compare(report, ".*")
        untouched = path.read_bytes() if path.exists() else None
        self._fault("a command that only reads changed the file", content != untouched)
        self._records_kept(exempt=path)

    def resume(self, damaged: Path) -> None:
        """Runs the sweep again. Where the damage matters to training only, one trial has no results before that."""
        exempt = damaged
        if self.verdict.kind in BEFORE_TRAINING:
            trial = damaged.parent if self.verdict.kind == "checkpoint" else next(iter(self.records)).parent
            exempt = trial / "record.json"
            exempt.unlink()
            (trial / "status.json").unlink()
            for file in trial.glob("checkpoint*") if self.verdict.kind != "checkpoint" else ():
                file.unlink()
        answer = self._run("sweep", f"{self.name}.yaml")
        self._fault(f"the sweep ended with {answer.code} and no message", bool(answer.code and not answer.text.strip()))
        self._records_kept(exempt=exempt)
        if answer.code == 0:
            self._compare(answer, ACCURACIES.pattern)
        elif exempt in self.records and self.verdict.kind == "record":
            self._retry()
        self._not_lost(exempt, answer)

    def _retry(self) -> None:
        """Takes the way out of a damaged record, which gives the same accuracies again."""
        answer = self._run("retry", f"runs/{self.name}")
        self._fault(f"retry: {answer.text}", answer.code != 0)
        answer = self._run("sweep", f"{self.name}.yaml")
        self._fault(f"the sweep after retry: {answer.text}", answer.code != 0)
        self._compare(answer, ACCURACIES.pattern)

    def _run(self, *words: str) -> Answer:
        answer = command(self.folder, *words)
        self._fault(f"traceback of {words[0]}: {answer.escaped[-1500:]}", bool(answer.escaped))
        self.verdict.noticed |= answer.code not in (0,) or "damage" in answer.text
        return answer

    def _fault(self, text: str, happened: bool) -> None:
        self.verdict.faults += [text] * happened

    def _records_kept(self, exempt: Path) -> None:
        gone = [
            file for file, content in self.records.items()
            if file != exempt and (not file.exists() or file.read_bytes() != content)
        ]  # fmt: skip
        self._fault(f"records lost or changed: {[file.parent.name for file in gone]}", bool(gone))

    def _not_lost(self, target: Path, answer: Answer) -> None:
        """Checks that the trial whose file was damaged has its scores again, or that a message says why not."""
        content = self.records.get(target)
        if content is None:
            return
        old, new = _scores(content), _scores(target.read_bytes()) if target.exists() else None
        self._fault(f"{target.parent.name}: other scores: {new}", new is not None and new != old and answer.code == 0)
        self._fault(
            f"{target.parent.name}: lost: {answer.text}", new is None and answer.code == 0 and not self.verdict.noticed
        )

    def _compare(self, answer: Answer, columns: str) -> None:
        """Compares the table with that of the sound run: a difference needs a mark, or a message of the command."""
        pairs = _pairs(self.table, _table(self.folder, self.name))
        new_marks = [new.get("marks") != old["marks"] for old, new in pairs]
        for (old, new), marked in zip(pairs, new_marks, strict=True):
            changed = [key for key in old if re.fullmatch(columns, key) and old[key] != new.get(key)]
            if changed and changed != ["marks"]:
                # a difference to the baseline is left out where the baseline's row is marked
                marked |= any(new_marks) and all(not new.get(key) for key in changed)
                self.verdict.noticed |= marked
                names = [f"{key}: {old[key]} became {new.get(key)}" for key in changed[:4]]
                self._fault(f"silent: {names}", not marked and "damage" not in answer.text)


def _pairs(old: list[dict[str, str]], new: list[dict[str, str]]) -> list[tuple[dict[str, str], dict[str, str]]]:
    """Returns the rows of two tables in pairs, by the id of the row; a row that is gone is empty."""
    found = {row["row_id"]: row for row in new}
    return [(row, found.get(row["row_id"], {})) for row in old]


def _table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"runs/{name}/report/table.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _scores(content: bytes) -> Any:
    try:
        return json.loads(content)["scores"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
