"""`report`: write the tables, figures and page of a run from its records."""

from __future__ import annotations

import argparse

from harness.cli.common import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)


def run(parsed: argparse.Namespace) -> int:
    from harness.python_api.results import report

    for path in report(parsed.run):
        print(path)
    return 0
