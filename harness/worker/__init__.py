"""One trial in its own process: trains, evaluates, counts, and writes the record; in a second stage, measures time.

Started by every launcher as `python -m harness worker FOLDER --stage train|measure`. Nothing but the folder is
handed over. The exit code tells the launcher whether to look at the trial again, see `exit_codes`.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from harness.store import TrialFolder
from harness.worker.exit_codes import EXIT_DONE, EXIT_FAILED, EXIT_LOCKED, EXIT_PREEMPTED
from harness.worker.reporter import LeaseLost, Reporter, Stage
from harness.worker.signals import StopRequest, end_with_parent

__all__ = ["EXIT_DONE", "EXIT_FAILED", "EXIT_LOCKED", "EXIT_PREEMPTED", "Stage", "run"]


def run(path: Path, stage: Stage, *, alone: bool = False, parent: int | None = None) -> int:
    """Runs one stage of a trial; returns the exit code. `alone`: the launcher keeps the machine quiet meanwhile."""
    stop = StopRequest()  # before torch is imported: a signal in those seconds must not kill the worker
    if parent is not None:
        end_with_parent(parent)
    folder = TrialFolder(path)
    lease = folder.lease()
    with lease.held() as got:
        if not got:
            print(f"{path}: another worker has this trial", file=sys.stderr)
            return EXIT_LOCKED
        for stale in folder.stale_files():
            stale.unlink(missing_ok=True)
        reporter = Reporter(folder, stage, lease)
        try:
            from harness.worker import stages

            if stage == "train":
                return stages.train_stage(folder, reporter, stop)
            return stages.measure_stage(folder, reporter, alone)
        except LeaseLost as error:
            print(error, file=sys.stderr)
            return EXIT_LOCKED
        except BaseException as error:  # the boundary of the process: whatever happens becomes the trial's status
            traceback.print_exc()
            from harness.measure.outcome import verdict

            reporter.end(*verdict(error))
            return EXIT_FAILED
