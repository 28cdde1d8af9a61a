"""`sweep`: plan a sweep, run what is missing, write the report."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.cli.common import arguments

if TYPE_CHECKING:
    from harness.sweep.plan import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_sweep_file(parser)
    parser.add_argument(
        "--jobs", type=arguments.positive_int, metavar="N", help="trials at once (default: one per core or GPU)"
    )
    parser.add_argument(
        "--launch", metavar="NAME", help="launcher that runs the trials, whatever the file says (launch.where)"
    )
    parser.add_argument(
        "--cancel-dropped", action="store_true",
        help="end jobs of trials that the sweep no longer asks for (they are listed anyway)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the plan with its costs and run nothing")
    parser.add_argument(
        "--only", action="append", default=[], metavar="WHAT",
        help="run a part: FIELD=VALUE, seed=N, a row's label or the beginning of a trial id (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--time-budget", type=arguments.parse_duration, metavar="TIME",
        help="stop after this time with all progress kept, e.g. 30m; the same command continues",
    )  # fmt: skip
    parser.add_argument(
        "--replace-plan", action="store_true", help="take over a folder that holds the run of another question"
    )
    parser.add_argument(
        "--stale", choices=["keep", "rerun"], default="keep",
        help="trials that are done by other code: keep them (default), or move their records aside and train again",
    )  # fmt: skip
    parser.add_argument("--no-report", action="store_true", help="do not write the report at the end")


def run(parsed: argparse.Namespace) -> int:
    from harness.python_api.plans import plan
    from harness.python_api.plans import run as run_sweep

    overrides = parsed.overrides if parsed.launch is None else [*parsed.overrides, f"launch.where={parsed.launch}"]
    planned = plan(parsed.file, set=overrides, variants=parsed.variants)
    if parsed.dry_run:
        return _dry_run(planned, parsed)
    return run_sweep(
        planned, jobs=parsed.jobs, runs=parsed.runs, only=parsed.only, time_budget_s=parsed.time_budget,
        rerun_stale=parsed.stale == "rerun", replace_plan=parsed.replace_plan, cancel_dropped=parsed.cancel_dropped,
        write_report=not parsed.no_report,
    ).exit_code  # fmt: skip


def _dry_run(plan: Plan, parsed: argparse.Namespace) -> int:
    from harness.cli.common.plan_table import print_plan
    from harness.running import RunOptions, find_trials

    options = RunOptions(
        runs=parsed.runs, variant_dirs=tuple(parsed.variants), only=tuple(parsed.only), jobs=parsed.jobs
    )  # fmt: skip
    _, chosen, todo = find_trials(plan, options)
    print_plan(plan, chosen, todo, options)
    return 0
