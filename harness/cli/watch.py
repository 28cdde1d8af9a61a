"""`watch`: a live view of a run, from its files; works with any launcher and on any machine that sees the folder."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.cli.common import arguments
from harness.text.clean import clean, one_line
from harness.text.streams import console

if TYPE_CHECKING:
    from rich.table import Table

    from harness.launch.overview import JobAnswers, Standing
    from harness.store import Store

NUM_ROWS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument(
        "--interval", type=arguments.parse_duration, default=2.0, metavar="TIME", help="between updates (default: 2s)"
    )


def run(parsed: argparse.Namespace) -> int:
    from harness.launch.overview import StrandedDetector, standings
    from harness.store import parts_of
    from harness.store.files import is_locked

    detector, stranded = StrandedDetector(), False
    show = _Screen() if sys.stdout.isatty() else _Lines()
    with show:
        while not stranded:
            parts = parts_of(parsed.run)
            launching = any(is_locked(part.lock_file) for part in parts)  # before the plans, which a launcher writes
            found, *searched = [list(standings(part, part.plan())) for part in parts]
            stranded = detector.is_stranded([*zip(parts, (found, *searched), strict=True)])
            show.update(_View(parts, found, searched[0] if searched else [], detector.answers))
            is_open = any(standing.is_open for of_part in (found, *searched) for standing in of_part)
            if not is_open and not (searched and launching):
                break
            time.sleep(0.0 if stranded else parsed.interval)
    if stranded and not _is_done(found):
        _print_stranded([*found, *(item for of_part in searched for item in of_part)])
    if not stranded and not found:
        print("the search is unfinished, and no command is running it; the sweep command continues it.")
    return 0 if found and all(standing.status == "done" for standing in found) else 1


def _is_done(found: list[Standing]) -> bool:
    """Returns whether the run itself has nothing open; its search may have open trials that are no longer needed."""
    return bool(found) and not any(standing.is_open for standing in found)


def _print_stranded(every: list[Standing]) -> None:
    from harness.launch.launchers import titles_of

    waiting = [standing for standing in every if standing.is_open]
    jobs = [standing.written.job for standing in waiting if standing.written.job]
    gone = f"; {len(jobs)} of them had a job that {titles_of(jobs)} does not have any more" if jobs else ""
    print(f"{len(waiting)} open trials are stranded: no launcher, worker or job has them{gone}.")
    print("The sweep command continues with them.")


@dataclass(frozen=True)
class _View:
    """What is shown of a run: `found` are its trials, `searched` those of its search."""

    parts: Sequence[Store]
    found: Sequence[Standing]
    searched: Sequence[Standing]
    answers: Sequence[JobAnswers] = ()

    def lines(self) -> list[tuple[str, float | None]]:
        """Returns the progress of the search, where there is one, and of the run, each with the seconds left."""
        from harness.launch.overview import summary

        run, *search = self.parts
        found = []
        if self.searched:
            line, seconds = summary(search[0], self.searched, timed=False)
            found.append((f"search: {line}", seconds))
        return [*found, *([summary(run, self.found)] if self.found else [])]

    def waiting(self) -> str:
        """Returns why jobs wait, or why that is unknown."""
        from harness.launch.overview import reasons_line

        problems = dict.fromkeys(answer.problem for answer in self.answers if answer.problem)
        return "; ".join([*problems, *filter(None, [reasons_line(self.answers)])])

    def reason(self, trial_id: str) -> str:
        """Returns why the job of a trial waits, in the queue's words; "" where it has none."""
        return next((answer.reasons[trial_id] for answer in self.answers if trial_id in answer.reasons), "")


class _Lines:
    """Prints the progress, and why jobs wait, whenever they change; for pipes and logs."""

    def __init__(self) -> None:
        self.last = self.last_waiting = ""

    def __enter__(self) -> None: ...

    def __exit__(self, *exc: object) -> None: ...

    def update(self, view: _View) -> None:
        from harness.launch.overview import with_time_left

        lines, waiting = view.lines(), view.waiting()
        text = "; ".join(line for line, _ in lines)
        if text != self.last:
            print("; ".join(with_time_left(*line) for line in lines), flush=True)
        if waiting and waiting != self.last_waiting:
            print(f"jobs: {waiting}", flush=True)
        self.last, self.last_waiting = text, waiting


class _Screen:
    """Shows the progress and the unfinished trials; for terminals."""

    def __init__(self) -> None:
        from rich.live import Live

        self.live = Live(console=console(), transient=False, auto_refresh=False)

    def __enter__(self) -> None:
        self.live.start()

    def __exit__(self, *exc: object) -> None:
        self.live.stop()

    def update(self, view: _View) -> None:
        self.live.update(_table(view), refresh=True)


def _table(view: _View) -> Table:
    """Returns a table of the unfinished trials: running ones first, then failed ones, then waiting ones."""
    from rich.table import Table
    from rich.text import Text

    from harness.launch.overview import TROUBLED, with_time_left

    waiting = view.waiting()
    title = "\n".join([*(with_time_left(*line) for line in view.lines()), *([f"jobs: {waiting}"] if waiting else [])])
    columns = ("trial", "row", "status", "where")
    table = Table(*columns, box=None, pad_edge=False, title=Text(clean(title)), title_justify="left")
    unfinished = [item for item in view.searched if item.is_open]
    unfinished += [item for item in view.found if item.status != "done"]
    unfinished.sort(key=lambda item: (item.status != "running", item.status not in TROUBLED))
    for item in unfinished[:NUM_ROWS]:
        row = f"{item.label}, seed {item.seed}"
        where = view.reason(item.folder.trial_id) or item.message or item.progress()
        cells = (item.folder.trial_id, row, item.status, where)
        table.add_row(*(Text(one_line(cell)) for cell in cells))  # as Text: rich would read brackets as markup
    if len(unfinished) > NUM_ROWS:
        table.add_row("...", f"and {len(unfinished) - NUM_ROWS} more", "", "")
    return table
