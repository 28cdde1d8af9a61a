"""`worker`: one stage of one trial."""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
from contextlib import suppress
from pathlib import Path

from harness.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the folder of the trial")
    parser.add_argument("--stage", choices=["train", "measure"], required=True)
    parser.add_argument(
        "--alone", action="store_true", help="no other trial of this run is running (noted with timings)"
    )
    parser.add_argument("--parent", type=int, metavar="PID", help="stop when this process, the launcher, is gone")
    parser.add_argument(
        "--rank",
        type=int,
        metavar="R",
        help="rank of this process in a trial with train.num_processes; see docs/processes.md",
    )
    parser.add_argument(
        "--rendezvous",
        type=Path,
        metavar="FILE",
        help="file where all ranks meet: in a shared folder, with a new name each time",
    )


def run(parsed: argparse.Namespace) -> int:
    from harness import worker
    from harness.worker import processes

    if (parsed.rank is None) != (parsed.rendezvous is None):
        raise UserError(
            "--rank and --rendezvous belong together: give both, or neither to start all ranks on this machine"
        )
    if parsed.rank is not None and parsed.rank < 0:
        raise UserError(f"--rank {parsed.rank}: a rank is at least 0")
    processes.become_subreaper()
    faulthandler.enable()  # the log of a worker that a signal ends shows where it was
    _use_code_of(parsed.folder)
    try:
        return worker.run(
            parsed.folder, parsed.stage, alone=parsed.alone, parent=parsed.parent,
            rank=parsed.rank, rendezvous=parsed.rendezvous,
        )  # fmt: skip
    finally:
        if parsed.parent != os.getppid():  # else the pool ends what this worker leaves, after a grace period
            processes.kill(processes.descendants_of(os.getpid()))


def _use_code_of(folder: Path) -> None:
    """Start this process again with the copy of the code that belongs to the trial, unless it runs from there.

    The launchers of the harness start workers from the copy; others may know no more than the command.

    Raises:
        UserError: the copy is gone.
    """
    from harness.launch.snapshot import OWN, environment
    from harness.store import TrialFolder

    code = OWN.path
    with suppress(UserError, KeyError, TypeError):  # the worker reports what is wrong with the trial's files
        code = Path(TrialFolder(folder).config()["launch"]["code"])
    if code.resolve() == OWN.path:
        return
    if not (code / "harness").is_dir():
        raise UserError(f"{folder}: {code}, the code that it has to run from, is gone. Run the sweep command again.")
    os.execve(sys.executable, [sys.executable, "-m", "harness", *sys.argv[1:]], os.environ | environment(code))
