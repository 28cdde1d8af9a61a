"""`cancel`: end the jobs of a run, or of a part of it."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING

from harness.cli.common import arguments
from harness.errors import UserError
from harness.units import counted

if TYPE_CHECKING:
    from harness.launch.base import Cancelled
    from harness.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument(
        "--only", action="append", default=[], metavar="WHAT",
        help="a part: FIELD=VALUE of a varied field, seed=N, a row's label or the beginning of a trial id "
        "(repeatable: all hold)",
    )  # fmt: skip
    parser.add_argument(
        "--wait", type=arguments.parse_duration, default=30.0, metavar="TIME",
        help="how long to wait for the jobs' end (default: 30s)",
    )  # fmt: skip


def run(parsed: argparse.Namespace) -> int:
    from harness.launch.launchers import cancel
    from harness.store import parts_of

    parts = parts_of(parsed.run)
    parts[0].plan()  # refuses a folder without a run, before a lock file is made there
    with ExitStack() as locks:
        for store in parts:
            _lock(store, locks)
        done = [
            cancel(store, [store.trial(trial) for trial in trials], parsed.wait)
            for store, trials in zip(parts, _chosen(parts, parsed.only), strict=True)
        ]
    return max([_print_result(of_part, what) for of_part, what in zip(done, ("", " of the search"), strict=False)])


def _lock(store: Store, locks: ExitStack) -> None:
    """Takes the lock of a store until the end of the command. Raises: UserError where another command has it."""
    from harness.store import exclusive_lock

    if not locks.enter_context(exclusive_lock(store.lock_file)):
        raise UserError(f"{store.path}: a sweep command is running in this folder. Wait for it, or end it (Ctrl-C).")


def _chosen(parts: list[Store], conditions: list[str]) -> list[list[str]]:
    """Returns, for each store, the trials whose jobs are to end."""
    from harness.sweep.select import select_parts

    found = select_parts(parts, conditions)
    if not conditions:  # the plan of a search that was killed may lack its latest trials
        found[1:] = [[folder.trial_id for folder in store.trials()] for store in parts[1:]]
    return found


def _print_result(done: Cancelled, what: str) -> int:
    print(f"{counted(len(done.trials), 'trial')}{what} cancelled; the sweep command continues from where they are")
    if done.shared:
        print(f"{len(done.shared)} share a job with trials that were not chosen and go on: {', '.join(done.shared)}")
    if done.elsewhere:
        print(f"{len(done.elsewhere)} are run by a sweep command on a machine, not by a job: end that one (Ctrl-C)")
    if done.problem:
        raise UserError(f"the jobs could not be ended: {done.problem}. Run the same command again.")
    if done.num_ending:
        print(f"{done.num_ending} jobs are still ending")
    return 1 if done.shared or done.elsewhere else 0
