"""Arguments for the target of a verb: a sweep file or variants, and rows of them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.cli.common import arguments

if TYPE_CHECKING:
    from harness.python_api.targets import RowConfigs


def add_target(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Add a sweep file or a variant, fields to set and folders of variants."""
    parser.add_argument("target", help=f"a sweep (a .yaml file, or its name), or the name of a variant{more}")
    arguments.add_overrides(parser)
    arguments.add_variants(parser)


def add_targets(parser: argparse.ArgumentParser) -> None:
    """Add one sweep file or several variants, fields to set and the rows to take."""
    parser.add_argument(
        "targets",
        nargs="+",
        metavar="TARGET",
        help="a sweep (a .yaml file, or its name), or names of variants: the first is the baseline",
    )
    arguments.add_overrides(parser)
    arguments.add_variants(parser)
    parser.add_argument(
        "--rows",
        action="append",
        default=[],
        metavar="A,B",
        help="labels of the rows to take (default: all; repeatable)",
    )


def rows_of(parsed: argparse.Namespace) -> RowConfigs:
    """Return the rows that the arguments of `add_targets` choose. Raises: UserError for an unknown target or row."""
    from harness.python_api.targets import read_rows

    return read_rows(parsed.targets, parsed.overrides, parsed.variants, parsed.rows)
