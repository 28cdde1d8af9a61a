"""The search for the best configuration of each row: one controller, ask and tell, on the validation split only.

Trials of a search are trials like all others, in a store of their own (`<run>/tuning/`), run by the same launchers and
workers. The controller may be killed at any instant: the journal says what was asked, the trials' files what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.launch.source import Source
from harness.store import TUNING, Store
from harness.sweep.plan import Plan
from harness.tune.controller import Controller

RunSource = Callable[[Source], bool]


def tune(plan: Plan, run_folder: Path, variant_dirs: Sequence[Path], run: RunSource) -> Plan | None:
    """Searches every row of a plan and returns the plan of what was chosen; None where it was stopped before the end.

    The caller holds the run's lock. `run` runs a source through some launcher, see `Launcher.search`.

    Raises:
        UserError: proposals that cannot be built or fail without end; no configuration keeps the constraints.
    """
    from harness.sweep.tune.plan import tuned_plan
    from harness.tune.choice import picks

    assert plan.tuning is not None
    controller = Controller(plan, plan.tuning, run_folder, Store(run_folder / TUNING), variant_dirs)
    finished = run(controller)
    controller.write_summary()
    if controller.fault is not None:
        raise controller.fault
    return tuned_plan(plan, plan.tuning, picks(controller.studies, plan.tuning.config)) if finished else None
