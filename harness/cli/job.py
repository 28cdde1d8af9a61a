"""`job`: the trials of one SLURM job."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the folder of the submission: RUN/jobs/TOKEN")
    parser.add_argument("index", type=int, help="which job of the array")
    parser.add_argument("--parent", type=int, metavar="PID", help="stop when this process is gone")


def run(parsed: argparse.Namespace) -> int:
    from harness.launch.slurm import job
    from harness.worker.signals import end_with_parent

    if parsed.parent is not None:
        end_with_parent(parsed.parent)
    return job.run(parsed.folder, parsed.index)
