"""Files between a search and a training trial: the worker reports accuracies, the search may ask it to end early."""

from __future__ import annotations

import json
from pathlib import Path

from harness.store import TrialFolder


class Pruned(Exception):
    """The search asked for an early end."""


def reports_file(folder: TrialFolder) -> Path:
    """Returns the file with one line for each periodic evaluation on the validation split."""
    return folder.path / "reports.jsonl"


def prune_file(folder: TrialFolder) -> Path:
    """Returns the file whose existence asks the worker to end."""
    return folder.path / ".prune"


def append_report(folder: TrialFolder, step: int, correct: dict[str, tuple[int, int]]) -> None:
    """Appends an evaluation: the step, and (correct, total) of every label."""
    line = json.dumps({"step": step, "val": correct})
    with open(reports_file(folder), "a", encoding="utf-8") as file:
        file.write(line + "\n")


def read_reports(folder: TrialFolder) -> list[tuple[int, dict[str, float]]]:
    """Returns (step, label -> top-1 accuracy on val) of every whole line, by step; the last line of a step counts."""
    try:
        lines = reports_file(folder).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found: dict[int, dict[str, float]] = {}
    for line in lines:
        try:
            content = json.loads(line)
            found[int(content["step"])] = {label: correct / total for label, (correct, total) in content["val"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
            continue  # a half-written line of a killed worker
    return sorted(found.items())


def withdraw(folder: TrialFolder) -> None:
    """Makes a trial that was ended early pending again; it resumes from its checkpoint."""
    prune_file(folder).unlink(missing_ok=True)
    folder.requeue()


def ask_to_end(folder: TrialFolder) -> None:
    """Asks the worker of a trial to end early."""
    prune_file(folder).touch()
