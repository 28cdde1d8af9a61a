"""`job`: trials on behalf of a job of a launcher, on the machine where the job runs."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="the folder of a run")
    parser.add_argument("job", help="the name of the job, as its trials name it")
    parser.add_argument("trials", nargs="+", metavar="TRIAL", help="ids of the job's trials")
    parser.add_argument("--time-limit-minutes", type=float, metavar="M", help="of each trial, as in the launch block")
    parser.add_argument("--parent", type=int, metavar="PID", help="stop when this process is gone")


def run(parsed: argparse.Namespace) -> int:
    from harness.launch import job
    from harness.store import Store
    from harness.sweep.launch.config import LaunchConfig
    from harness.worker.signals import end_with_parent

    if parsed.parent is not None:
        end_with_parent(parsed.parent)
    launch = LaunchConfig(time_limit_minutes=parsed.time_limit_minutes)
    return job.run(Store(parsed.run), parsed.job, parsed.trials, launch)
