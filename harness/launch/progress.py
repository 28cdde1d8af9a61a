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
from harness.launch.overview import progress_line
from harness.launch.tasks import TrialTask
from harness.launch.time_left import GUESSED_TIMING_SECONDS
from harness.launch.workers import Running
from harness.store import TrialStatus
from harness.text.clean import one_line
from harness.text.streams import console

LINE_EVERY_SECONDS = 30.0


def name_of(task: TrialTask) -> str:
    """Returns the row and the seed of a task, for messages."""
    return one_line(f"{task.trial.label}, seed {task.trial.seed}")


class Counts:
    """Counts trained and timed trials of a sweep, and estimates the time left from the tasks that have ended.

    `num_done`: trials of the sweep that were done before and have no task.
    """

    def __init__(self, tasks: Sequence[TrialTask], num_done: int = 0):
        self.num_trials = len(tasks) + num_done
        self.num_timed = num_done
        self.num_trained = num_done + sum(task.stage == "measure" for task in tasks)
        self.num_stages = {"train": sum(task.stage == "train" for task in tasks), "measure": len(tasks)}
        self.spent: dict[str, list[float]] = {"train": [], "measure": []}
        self.begun: dict[tuple[str, str], float] = {}
        self.has_news = False  # a worker has made a step, or ended

    def started(self, task: TrialTask) -> None:
        self.begun[task.trial.trial_id, task.stage] = time.monotonic()

    def ended(self, task: TrialTask, status: TrialStatus) -> None:
        self.has_news = True
        if task.stage == "train":
            is_trained = status.status in ("queued", "done")
            self.num_trained += is_trained
            self.num_stages["measure"] -= not is_trained
        self.num_timed += status.status == "done"
        now = time.monotonic()  # a worker that could not start took no time
        self.spent[task.stage].append(now - self.begun.get((task.trial.trial_id, task.stage), now))

    def line(self, running: Sequence[Running]) -> str:
        """Returns the line of progress, as `status` and `watch` show it."""
        self.has_news = self.has_news or any(_has_begun(item.task) for item in running)
        note = f"{len(running)} running" if self.has_news else "starting workers"
        seconds = self.seconds_left(len(running))
        return progress_line(self.num_trials, self.num_trained, self.num_timed, note, seconds)

    def seconds_left(self, num_side_by_side: int) -> float | None:
        """Returns the seconds until all stages are done; None before the first trial has ended."""
        training, measuring = self.spent["train"], self.spent["measure"]
        to_train = self.num_stages["train"] - len(training)
        if not (training or measuring) or (to_train and not training):
            return None
        per_measure = sum(measuring) / len(measuring) if measuring else GUESSED_TIMING_SECONDS
        left = (self.num_stages["measure"] - len(measuring)) * per_measure
        return left + (to_train * (sum(training) / len(training)) / max(num_side_by_side, 1) if training else 0.0)


def _has_begun(task: TrialTask) -> bool:
    status = task.folder.written_status()
    return status.status == "running" and (status.step > 0 or task.stage == "measure")


class PlainLines:
    """Prints the progress at the start, when a trial ends, and every half minute; for logs and pipes."""

    def __init__(self, tasks: Sequence[TrialTask], num_done: int = 0):
        self.counts = Counts(tasks, num_done)
        self.last_line = 0.0

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def started(self, task: TrialTask) -> None:
        self.counts.started(task)

    def ended(self, task: TrialTask, status: TrialStatus) -> None:
        self.counts.ended(task, status)
        is_trained = task.stage == "train" and status.status == "queued"
        message = f": {one_line(status.message)}" if status.message and status.status != "done" else ""
        message = f" (loss {status.loss:.3f})" * (status.loss is not None) if is_trained else message
        counted = f"trained {self.counts.num_trained}, timed {self.counts.num_timed} of {self.counts.num_trials}"
        self._line(f"{'trained' if is_trained else status.status:9s} {name_of(task)}{message}  [{counted}]")

    def tick(self, running: Sequence[Running], waiting: Sequence[TrialTask]) -> None:
        if time.monotonic() - self.last_line > LINE_EVERY_SECONDS or not self.last_line:
            line = self.counts.line(running)
            now = ", ".join(_position(item) for item in running) if self.counts.has_news else ""
            self._line(f"{line}{': ' * bool(now)}{now}")

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
    """Shows the progress of the sweep, with a bar of its stages, and a row for each running trial; for terminals."""

    def __init__(self, tasks: Sequence[TrialTask], num_done: int = 0, shown_on: Console | None = None):
        self.counts = Counts(tasks, num_done)
        self.console = shown_on or console()
        self.bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), console=self.console
        )
        stages = 2 * self.counts.num_trials
        self.bar_id = self.bar.add_task(self.counts.line([]), total=stages, completed=self._num_stages())
        self.live = Live(self.bar, console=self.console, refresh_per_second=4, transient=True)

    def _num_stages(self) -> int:
        return self.counts.num_trained + self.counts.num_timed

    def __enter__(self) -> LiveTable:
        self.live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.live.stop()

    def started(self, task: TrialTask) -> None:
        self.counts.started(task)

    def ended(self, task: TrialTask, status: TrialStatus) -> None:
        self.counts.ended(task, status)
        if status.status not in ("queued", "done"):
            self.console.print(
                f"{status.status}: {name_of(task)}: {one_line(status.message)}", style="red", markup=False
            )

    def tick(self, running: Sequence[Running], waiting: Sequence[TrialTask]) -> None:
        table = Table("trial", "stage", "step", "loss", "time", box=None, pad_edge=False, header_style="dim")
        for item in running:
            status = item.task.folder.written_status()
            step = f"{status.step}/{status.num_steps}" if item.task.stage == "train" else ""
            loss = "" if status.loss is None else f"{status.loss:.3f}"
            cells = (name_of(item.task), item.task.stage, step, loss, units.duration(time.monotonic() - item.started))
            table.add_row(*map(Text, cells))  # as Text: rich would read brackets in a label as markup
        self.bar.update(self.bar_id, description=self.counts.line(running), completed=self._num_stages())
        self.live.update(Group(self.bar, table))


def watch(tasks: Sequence[TrialTask], num_done: int = 0) -> LiveTable | PlainLines:
    """Returns the display that suits standard output. `num_done`: see `Counts`."""
    return LiveTable(tasks, num_done) if sys.stdout.isatty() else PlainLines(tasks, num_done)
