"""`cancel`: end the SLURM jobs of a run, or of a part of it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.cli import arguments
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.launch.slurm.cancel import Cancelled
    from harness.store import TrialFolder


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
    from harness.launch.select import select_planned
    from harness.launch.slurm.cancel import cancel
    from harness.launch.slurm.reconcile import settle_intents
    from harness.store import Store, exclusive_lock

    store = Store(parsed.run)
    chosen: list[TrialFolder] = [store.trial(trial) for trial in select_planned(store.plan(), parsed.only)]
    with exclusive_lock(store.lock_file) as got:
        if not got:
            raise UserError(
                f"{store.path}: a sweep command is at work in this folder. Wait for it, or end it (Ctrl-C)."
            )
        for line in settle_intents(store):
            print(line)
        return _tell(cancel(store, chosen, parsed.wait))


def _tell(done: Cancelled) -> int:
    print(f"{len(done.trials)} trials cancelled; the sweep command goes on from where they are")
    if done.shared:
        print(f"{len(done.shared)} share a job with trials that were not chosen and go on: {', '.join(done.shared)}")
    if done.elsewhere:
        print(f"{len(done.elsewhere)} are run by a sweep command on a machine, not by SLURM: end that one (Ctrl-C)")
    if done.problem:
        raise UserError(f"scancel failed: {done.problem}. Run the same command again.")
    if done.still_there:
        print(f"{done.still_there} jobs are still ending")
    return 1 if done.shared or done.elsewhere else 0
