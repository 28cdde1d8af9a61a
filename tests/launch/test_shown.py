"""The live displays show text with brackets unchanged."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from harness.cli.watch import _table, _View
from harness.launch.display.progress import LiveTable
from harness.launch.local.workers import Running
from harness.launch.overview import Standing
from harness.launch.tasks import TrialTask
from harness.store import Store, TrialFolder, TrialStatus

NASTY = "t_w [/bold] = [0, 1] [red]x"


def test_brackets_are_shown_as_they_are(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    folder = TrialFolder(tmp_path / "x")
    found = [Standing(folder, NASTY, "0", "failed", f"IndexError: {NASTY}", TrialStatus())]
    console.print(_table(_View([Store(tmp_path)], found, [])))
    trial: Any = SimpleNamespace(trial_id="x", label=NASTY, seed=1)
    worker: Any = SimpleNamespace()
    task = TrialTask(trial, folder, "train", 1, "cpu")
    with LiveTable([task], shown_on=console) as shown:
        shown.tick([Running(task, worker, ())], [])
        console.print(shown.live.renderable)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for line in (f"{NASTY}, seed 0", f"IndexError: {NASTY}", f"{NASTY}, seed 1"):
        assert line in text
