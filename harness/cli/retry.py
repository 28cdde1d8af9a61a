"""`retry`: put trials that ended badly back in the queue, and start them if wanted."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from harness.cli import arguments
from harness.errors import UserError
from harness.record import FINAL_STATUSES

if TYPE_CHECKING:
    from harness.store import Store, TrialFolder

RETRIABLE = (*(status for status in FINAL_STATUSES if status != "done"), "lost", "preempted")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument("--status", metavar="LIST", help=f"only these, comma-separated, of: {', '.join(RETRIABLE)}")
    parser.add_argument(
        "--from-scratch", action="store_true", help="drop the checkpoints: train again from the first step"
    )
    parser.add_argument("--start", action="store_true", help="start these trials now, and no others")
    parser.add_argument("--launch", choices=["local", "slurm"], help="with --start: where, as of `sweep`")


def run(parsed: argparse.Namespace) -> int:
    from harness.store import Store

    wanted = RETRIABLE if parsed.status is None else tuple(parsed.status.split(","))
    unknown = [status for status in wanted if status not in RETRIABLE]
    if unknown:
        raise UserError(f"--status {','.join(unknown)}: cannot be retried. Statuses: {', '.join(RETRIABLE)}")
    store = Store(parsed.run)
    command = store.plan().command
    chosen = _chosen(store, wanted)
    for folder in chosen:
        folder.requeue(from_scratch=parsed.from_scratch)
    if not (parsed.start and chosen):
        print(f"{len(chosen)} trials are pending again; to start them: {command or 'run the sweep command'}")
        return 0
    return _start(parsed, store, command, [folder.trial_id for folder in chosen])


def _chosen(store: Store, wanted: tuple[str, ...]) -> list[TrialFolder]:
    from harness.launch.overview import standings

    found = standings(store, store.plan())
    return [item.folder for item in found if item.status in wanted and not item.folder.is_held()]


def _start(parsed: argparse.Namespace, store: Store, command: str, trial_ids: list[str]) -> int:
    """Asks the run's question again, for these trials only."""
    from harness.cli import sweep

    words = shlex.split(command)
    if "sweep" not in words:
        raise UserError(f"{store.plan_file}: does not say which command made it. Run the sweep command again.")
    parser = argparse.ArgumentParser(prog="python -m harness sweep")
    sweep.add_arguments(parser)
    asked = parser.parse_args([*words[words.index("sweep") + 1 :], "--runs", str(parsed.run.parent)])
    asked.launch = parsed.launch
    asked.only_ids = trial_ids
    return sweep.run(asked)
