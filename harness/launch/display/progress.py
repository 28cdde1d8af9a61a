"""Progress displays of the local pool: a live table on a terminal, plain lines elsewhere, one line for a search."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from harness import units
from harness.launch.display.time_left import GUESSED_TIMING_SECONDS
from harness.launch.local.workers import Running
from harness.launch.overview import STARTING, progress_line
from harness.launch.tasks import Todo, TrialTask
from harness.store import TrialStatus
from harness.text.clean import one_line
from harness.text.streams import console

LINE_EVERY_SECONDS = 30.0


def name_of(task: TrialTask) -> str:
    """Returns the row and the seed of a task, for messages."""
    return one_line(f"{task.trial.label}, seed {task.trial.seed}")


class Clock:
    """Counts trained and timed trials, and estimates the time left from the tasks that have ended.

    `num_done` trials of the run were done before; `num_failed` failed before, and are not run.
    """

    def __init__(self, tasks: Sequence[TrialTask], num_done: int = 0, num_failed: int = 0):
        self.num_trials = len(tasks) + num_done + num_failed
        self.num_trained = num_done + sum(task.stage == "measure" for task in tasks)
        self.num_timed = num_done
        self.num_stages = {"train": 0, "measure": 0}
        for task in tasks:
            self.num_stages["measure"] += 1
            self.num_stages["train"] += task.stage == "train"
        self.spent: dict[str, list[float]] = {"train": [], "measure": []}
        self.begun: dict[tuple[str, str], float] = {}

    def started(self, task: TrialTask) -> None:
        self.begun[task.trial.trial_id, task.stage] = time.monotonic()

    def ended(self, task: TrialTask, status: TrialStatus) -> None:
        now = time.monotonic()  # a worker that could not start took no time
        self.spent[task.stage].append(now - self.begun.get((task.trial.trial_id, task.stage), now))
        self.num_trained += task.stage == "train" and status.status in ("queued", "done")
        self.num_timed += status.status == "done"

    def line(self, num_side_by_side: int, note: str = "") -> str:
        """Returns the line of progress, as `status` and `watch` have it."""
        left = self.seconds_left(num_side_by_side)
        return progress_line(self.num_trials, self.num_trained, self.num_timed, note, left)

    def seconds_left(self, num_side_by_side: int) -> float | None:
        """Returns the seconds until all stages are done; None before the first trial has ended."""
        training, measuring = self.spent["train"], self.spent["measure"]
        if not training and not measuring:
            return None
        per_measure = sum(measuring) / len(measuring) if measuring else GUESSED_TIMING_SECONDS
        left = max(0, self.num_stages["measure"] - len(measuring)) * per_measure
        if training:
            to_train = max(0, self.num_stages["train"] - len(training))
            left += to_train * (sum(training) / len(training)) / max(num_side_by_side, 1)
        return left


class PlainLines:
    """Prints one line when a trial ends, and one every half minute; for logs and pipes."""

    def __init__(self, tasks: Sequence[TrialTask], num_done: int = 0, num_failed: int = 0):
        self.clock = Clock(tasks, num_done, num_failed)
        self.last_line = time.monotonic()
        self._num_running = 0

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def started(self, task: TrialTask) -> None:
        if not self.clock.begun:
            self._line(f"{STARTING}: {self.clock.line(0)}")
        self.clock.started(task)

    def ended(self, task: TrialTask, status: TrialStatus) -> None:
        self.clock.ended(task, status)
        line = self.clock.line(self._num_running)
        if task.stage == "train" and status.status == "queued":
            loss = f" (loss {status.loss:.3f})" if status.loss else ""
            self._line(f"trained   {name_of(task)}{loss}  [{line}]")
            return
        message = f": {one_line(status.message)}" if status.message and status.status != "done" else ""
        self._line(f"{status.status:9s} {name_of(task)}{message}  [{line}]")

    def tick(self, running: Sequence[Running], waiting: Sequence[TrialTask]) -> None:
        self._num_running = len(running)
        if time.monotonic() - self.last_line > LINE_EVERY_SECONDS:
            now = ", ".join(_position(item) for item in running)
            self._line(f"running   {now}  [{self.clock.line(len(running))}]")

    def _line(self, text: str) -> None:
        self.last_line = time.monotonic()
        print(text, flush=True)


def _position(item: Running) -> str:
    return f"{name_of(item.task)}{_step(item.task)}"


def _step(task: TrialTask) -> str:
    status = task.folder.written_status()
    return f" step {status.step}/{status.num_steps}" if task.stage == "train" else " timing"


class SearchLines:
    """Prints every half minute what a search runs; its controller prints the results."""

    def __init__(self) -> None:
        self.last_line = time.monotonic()

    def started(self, task: TrialTask) -> None: ...

    def ended(self, task: TrialTask, status: TrialStatus) -> None: ...

    def tick(self, running: Sequence[Running], waiting: Sequence[TrialTask]) -> None:
        if time.monotonic() - self.last_line > LINE_EVERY_SECONDS:
            self.last_line = time.monotonic()
            shown = [f"{one_line(item.task.trial.label)}{_step(item.task)}" for item in running]
            print(f"running   {', '.join(shown)}", flush=True)


class LiveTable:
    """Shows a bar and the progress of the sweep, and a row for each running trial; for terminals."""

    def __init__(
        self, tasks: Sequence[TrialTask], num_done: int = 0, num_failed: int = 0, shown_on: Console | None = None
    ):
        self.clock = Clock(tasks, num_done, num_failed)
        self.console = shown_on or console()
        self.bar = Progress(
            BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[line]}"), console=self.console
        )  # fmt: skip
        self.bar_id = self.bar.add_task("stages", total=2 * self.clock.num_trials, line=self.clock.line(0, STARTING))
        self._has_begun = False
        self.live = Live(self.bar, console=self.console, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveTable:
        self.live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.live.stop()

    def started(self, task: TrialTask) -> None:
        self.clock.started(task)

    def ended(self, task: TrialTask, status: TrialStatus) -> None:
        self.clock.ended(task, status)
        if status.status != "done" and not (task.stage == "train" and status.status == "queued"):
            self.console.print(
                f"{status.status}: {name_of(task)}: {one_line(status.message)}", style="red", markup=False
            )

    def tick(self, running: Sequence[Running], waiting: Sequence[TrialTask]) -> None:
        table = Table("trial", "stage", "step", "loss", "time", box=None, pad_edge=False, header_style="dim")
        for item in running:
            status = item.task.folder.written_status()
            self._has_begun = self._has_begun or status.status == "running"
            step = f"{status.step}/{status.num_steps}" if item.task.stage == "train" else ""
            loss = "" if status.loss is None else f"{status.loss:.3f}"
            cells = (name_of(item.task), item.task.stage, step, loss, units.duration(time.monotonic() - item.started))
            table.add_row(*map(Text, cells))  # as Text: rich would read brackets in a label as markup
        line = self.clock.line(len(running), f"{len(running)} running" if self._has_begun else STARTING)
        self.bar.update(self.bar_id, completed=self.clock.num_trained + self.clock.num_timed, line=line)
        self.live.update(Group(self.bar, table))


def watch(todo: Todo) -> LiveTable | PlainLines:
    """Returns the display of a sweep that suits standard output."""
    kind = LiveTable if sys.stdout.isatty() else PlainLines
    return kind(todo.tasks, len(todo.done), len(todo.failed))
