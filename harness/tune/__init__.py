"""Searches the best configuration of each row on the validation split, with one controller.

Trials of a search are ordinary trials in a separate store (`<run>/tuning/`), run by the same launchers and workers. The
controller may be killed at any time: the journal stores its proposals, and the files of trials store their results.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.launch.snapshot import Snapshot
from harness.launch.source import Source
from harness.store import TUNING, Store
from harness.sweep.plan import Plan
from harness.tune.controller import Controller

SearchRunner = Callable[[Source], bool]


def tune(plan: Plan, run_folder: Path, code: Snapshot, run: SearchRunner) -> Plan | None:
    """Searches every row of a plan and returns the plan of the chosen configurations; None if stopped early.

    The caller holds the lock of the run. `run` runs a source with a launcher, see `Launcher.search`.

    Raises:
        UserError: too many proposals cannot be built or fail, or no configuration satisfies the constraints.
    """
    from harness.sweep.tune.plan import tuned_plan
    from harness.tune.choice import picks

    assert plan.tuning is not None
    controller = Controller(plan, plan.tuning, run_folder, Store(run_folder / TUNING), code)
    finished = run(controller)
    controller.write_summary()
    if controller.error is not None:
        raise controller.error
    return tuned_plan(plan, plan.tuning, picks(controller.studies, plan.tuning.config)) if finished else None
