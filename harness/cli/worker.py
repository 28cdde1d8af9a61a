"""`worker`: one stage of one trial."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the folder of the trial")
    parser.add_argument("--stage", choices=["train", "measure"], required=True)
    parser.add_argument("--alone", action="store_true", help="nothing else of this run is at work (noted with timings)")
    parser.add_argument("--parent", type=int, metavar="PID", help="stop when this process, the launcher, is gone")


def run(parsed: argparse.Namespace) -> int:
    from harness import worker

    return worker.run(parsed.folder, parsed.stage, alone=parsed.alone, parent=parsed.parent)
