"""`sweep`: plan, run what is missing, report."""

from __future__ import annotations

import argparse

from harness.cli.common import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_sweep_file(parser)
    parser.add_argument(
        "--jobs", type=arguments.positive_int, metavar="N", help="trials at once (default: one per core or GPU)"
    )
    parser.add_argument(
        "--launch", metavar="NAME", help="where trials run, whatever the file says: local, slurm, ... (launch.where)"
    )
    parser.add_argument(
        "--cancel-dropped", action="store_true",
        help="end jobs of trials that the sweep no longer asks for (they are listed anyway)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the plan with its costs and run nothing")
    parser.add_argument(
        "--only", action="append", default=[], metavar="WHAT",
        help="run a part: FIELD=VALUE, seed=N, a row's label or the beginning of a trial id (repeatable: all hold)",
    )  # fmt: skip
    parser.add_argument(
        "--time-budget", type=arguments.parse_duration, metavar="TIME",
        help="stop after this time with all progress kept, e.g. 30m; the same command goes on",
    )  # fmt: skip
    parser.add_argument(
        "--replace-plan", action="store_true", help="take over a folder that holds the run of another question"
    )
    parser.add_argument(
        "--stale", choices=["keep", "rerun"], default="keep",
        help="finished trials whose record other code made: keep them (default), or set them aside and train again",
    )  # fmt: skip
    parser.add_argument("--no-report", action="store_true", help="do not write the report at the end")
    parser.set_defaults(retried=None, from_scratch=False)  # the trials that `retry --start` asks for, and how


def run(parsed: argparse.Namespace) -> int:
    from harness.data import data_identity
    from harness.running import RunOptions, find_trials, run_plan, sweep_command
    from harness.sweep.plan import plan_sweep

    overrides = parsed.overrides if parsed.launch is None else [*parsed.overrides, f"launch.where={parsed.launch}"]
    plan = plan_sweep(parsed.file, overrides, data_identity=data_identity, variant_dirs=parsed.variants)
    options = RunOptions(
        runs=parsed.runs,
        variant_dirs=tuple(parsed.variants),
        command=sweep_command(parsed.file, overrides, parsed.variants),
        jobs=parsed.jobs,
        time_budget_s=parsed.time_budget,
        only=tuple(parsed.only),
        trial_ids=None if parsed.retried is None else tuple(parsed.retried),
        from_scratch=parsed.from_scratch,
        cancel_dropped=parsed.cancel_dropped,
        replace_plan=parsed.replace_plan,
        rerun_stale=parsed.stale == "rerun",
        write_report=not parsed.no_report,
    )
    if parsed.dry_run:
        from harness.cli.common.plan_table import print_plan

        _, chosen, todo = find_trials(plan, options)
        print_plan(plan, chosen, todo, parsed.variants)
        return 0
    return run_plan(plan, options)
