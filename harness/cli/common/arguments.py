"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

MAX_SECONDS = 365 * 24 * 3600.0


def add_sweep_file(parser: argparse.ArgumentParser) -> None:
    """Add the sweep file, fields to set, folders of variants and the folder of runs."""
    add_sweep(parser)
    add_runs(parser)


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Add the sweep file, fields to set and folders of variants."""
    parser.add_argument("file", type=Path, help="a sweep file, or the name of one in sweeps/")
    add_overrides(parser)
    add_variants(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add `--set`."""
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="PATH=VALUE",
        help="override one field of the file, e.g. --set train.num_steps=100 (repeatable)",
    )  # fmt: skip


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add `--runs`."""
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of all runs (default: runs)"
    )


def add_variants(parser: argparse.ArgumentParser) -> None:
    """Add `--variants`."""
    parser.add_argument(
        "--variants",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder with more variant files (repeatable)",
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the folder of a run."""
    parser.add_argument("run", type=Path, help="the folder of a run, e.g. runs/window_size")


def parse_duration(text: str) -> float:
    """Parse '90', '90s', '15m' or '2h' into seconds, for argparse."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; write e.g. 90s, 15m or 2h")
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
    if seconds > MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is more than a year (8760h)")
    return seconds


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} given; a whole number of at least 1 is allowed")
    return int(text)


def positive_float(text: str) -> float:
    """Parse a finite number above zero, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} given; a number above 0 is allowed")
    return value


def add_protocol(parser: argparse.ArgumentParser) -> None:
    """Add the options of one comparison in time: processes, blocks, waiting time for a quiet machine."""
    parser.add_argument(
        "--repeats", type=positive_int, default=5, metavar="N",
        help="fresh processes per comparison (default: 5; up to three times as many where the machine is not quiet)",
    )  # fmt: skip
    parser.add_argument(
        "--blocks", type=positive_int, default=10, metavar="N", help="ABBA blocks per process (default: 10)"
    )
    parser.add_argument(
        "--patience", type=_parse_patience, default=60.0, metavar="TIME",
        help="total time that each comparison waits for a quiet machine; 0: no wait (default: 60s)",
    )  # fmt: skip


def _parse_patience(text: str) -> float:
    return 0.0 if text in ("0", "0s") else parse_duration(text)
