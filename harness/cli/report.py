"""`report`: from records to tables, plots and a page."""

from __future__ import annotations

import argparse

from harness.cli.common import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)


def run(parsed: argparse.Namespace) -> int:
    from harness.reports import write_all
    from harness.store import Store

    Store(parsed.run).plan()  # says so if this is no run
    for path in write_all(parsed.run, force=True):
        print(path)
    return 0
