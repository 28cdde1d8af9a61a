"""`retry`: put failed trials back in the queue."""

from __future__ import annotations

import argparse

from harness.cli import arguments
from harness.errors import UserError
from harness.record import FINAL_STATUSES

RETRIABLE = tuple(status for status in FINAL_STATUSES if status != "done")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument("--status", metavar="LIST", help=f"only these, comma-separated, of: {', '.join(RETRIABLE)}")
    parser.add_argument(
        "--from-scratch", action="store_true", help="drop the checkpoints: train again from the first step"
    )


def run(parsed: argparse.Namespace) -> int:
    from harness.launch.todo import state_of
    from harness.store import Store

    wanted = RETRIABLE if parsed.status is None else tuple(parsed.status.split(","))
    unknown = [status for status in wanted if status not in RETRIABLE]
    if unknown:
        raise UserError(f"--status {','.join(unknown)}: cannot be retried. Statuses: {', '.join(RETRIABLE)}")
    store = Store(parsed.run)
    number = 0
    for row in store.plan().rows:
        for trial_id in row.trials.values():
            folder = store.trial(trial_id)
            if state_of(folder)[0] in wanted and not folder.is_locked():
                folder.requeue(from_scratch=parsed.from_scratch)
                number += 1
    print(f"{number} trials are pending again; run the sweep command to start them.")
    return 0
