"""`watch`: a live view of a run, from its files; works beside any launcher and from another machine."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from harness.cli import arguments

if TYPE_CHECKING:
    from rich.table import Table

    from harness.launch.overview import Standing

NUM_ROWS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument(
        "--interval", type=arguments.parse_duration, default=2.0, metavar="TIME", help="between looks (default: 2s)"
    )


def run(parsed: argparse.Namespace) -> int:
    from harness.launch.overview import standings
    from harness.store import Store

    store = Store(parsed.run)
    show = _Screen() if sys.stdout.isatty() else _Lines()
    with show:
        while True:
            found = list(standings(store, store.plan()))
            show.update(found)
            if not any(standing.is_open for standing in found):
                break
            time.sleep(parsed.interval)
    return 0 if all(standing.status == "done" for standing in found) else 1


class _Lines:
    """For pipes and logs: the tally, whenever it changes."""

    last = ""

    def __enter__(self) -> None: ...

    def __exit__(self, *exc: object) -> None: ...

    def update(self, found: list[Standing]) -> None:
        from harness.launch.overview import tally

        text = tally(found)
        if text != self.last:
            print(text, flush=True)
        self.last = text


class _Screen:
    """For terminals: the tally, and the trials that are not finished."""

    def __init__(self) -> None:
        from rich.live import Live

        self.live = Live(transient=False, auto_refresh=False)

    def __enter__(self) -> None:
        self.live.start()

    def __exit__(self, *exc: object) -> None:
        self.live.stop()

    def update(self, found: list[Standing]) -> None:
        self.live.update(_table(found), refresh=True)


def _table(found: list[Standing]) -> Table:
    """What runs first, then what is in trouble, then what waits; as many as fit."""
    from rich.table import Table

    from harness.launch.overview import TROUBLED, tally

    table = Table("trial", "row", "status", "where", box=None, pad_edge=False, title=tally(found), title_justify="left")
    unfinished = [standing for standing in found if standing.status != "done"]
    unfinished.sort(key=lambda item: (item.status != "running", item.status not in TROUBLED))
    for item in unfinished[:NUM_ROWS]:
        row = f"{item.label}, seed {item.seed}"
        table.add_row(item.folder.trial_id, row, item.status, item.message or item.progress())
    if len(unfinished) > NUM_ROWS:
        table.add_row("...", f"and {len(unfinished) - NUM_ROWS} more", "", "")
    return table
