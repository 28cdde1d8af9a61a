"""`doctor`: check that everything is here that sweeps need, or that a run is whole."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.common import arguments
from harness.units import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, nargs="?", help="a sweep file whose launch block is tested, or the folder of a run to verify"
    )
    arguments.add_overrides(parser)
    arguments.add_variants(parser)
    arguments.add_runs(parser)
    parser.add_argument(
        "--wait", type=arguments.parse_duration, default=60.0, metavar="TIME",
        help="how long a small job may wait in a queue (default: 60s)",
    )  # fmt: skip


def run(parsed: argparse.Namespace) -> int:
    from harness.launch import launchers
    from harness.sweep.launch.config import LaunchConfig

    if parsed.file is not None and parsed.file.is_dir():
        return _verify(parsed.file)
    launch = LaunchConfig()
    if parsed.file is not None:
        from harness.data import data_identity
        from harness.sweep.plan import plan_sweep
        from harness.sweep.sweep_file import find_sweep

        file = find_sweep(parsed.file)
        plan = plan_sweep(file, parsed.overrides, data_identity=data_identity, variant_dirs=parsed.variants)
        launch = plan.launch
        size = f"{counted(len(plan.rows), 'row')}, {counted(len(plan.trials), 'trial')}"
        print(f"ok       sweep          {plan.name}: {size}")
    num_problems = 0
    for finding in launchers.doctor(launch, parsed.runs, parsed.wait):
        print(finding, flush=True)
        num_problems += finding.kind == "problem"
    print("all is well" if not num_problems else f"{num_problems} problems")
    return 1 if num_problems else 0


def _verify(run: Path) -> int:
    """Print what is wrong in a run, and what is worth knowing."""
    from harness.data.sets import data_sets
    from harness.store.checks.run import check_run
    from harness.store.load import planned_trials, read_plan

    num_wrong, locations = 0, {name: found.location_fields for name, found in data_sets().items()}
    number = len(planned_trials(read_plan(run)))
    for finding in check_run(run, locations.get):
        num_wrong += finding.is_wrong
        kind, todo = "problem" if finding.is_wrong else "note", f". {finding.todo}" if finding.todo else ""
        print(f"{kind:8s} {finding.where}: {finding.what}{todo}", flush=True)
    print(f"{run}: {counted(number, 'trial')}, {counted(num_wrong, 'problem') if num_wrong else 'all is well'}")
    return 1 if num_wrong else 0
