"""The search for the best configuration of each row: one controller, ask and tell, on the validation split only.

Trials of a search are trials like all others, in a store of their own (`<run>/tuning/`), run by the same launchers and
workers. The controller may be killed at any instant: the journal says what was asked, the trials' files what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.launch.feed import FedPool, Source
from harness.launch.parts import TUNING
from harness.store import Store
from harness.sweep.plan import Plan
from harness.tune.controller import Controller

SearchRunner = Callable[[Source], bool]


def local_run(plan: Plan, num_workers: int | None = None, time_budget_s: float | None = None) -> SearchRunner:
    """Runs a search on this machine; the returned call says whether it came to its end."""
    from harness.tune.lines import Lines

    return lambda source: FedPool(plan.launch, Lines(), num_workers).feed(source, time_budget_s)


def tune(plan: Plan, run_folder: Path, variant_dirs: Sequence[Path], run: SearchRunner) -> Plan | None:
    """Searches every row of a plan and returns the plan of what was chosen; None where it was stopped before the end.

    The caller holds the run's lock. `run` runs a source through some launcher, see `local_run`.

    Raises:
        UserError: proposals that cannot be built or fail without end; no configuration keeps the constraints.
    """
    from harness.sweep.tune.plan import tuned_plan
    from harness.tune.choice import picks

    assert plan.tuning is not None
    controller = Controller(plan, plan.tuning, run_folder, Store(run_folder / TUNING), variant_dirs)
    finished = run(controller)
    controller.write_summary()
    if controller.error is not None:
        raise controller.error
    return tuned_plan(plan, plan.tuning, picks(controller.studies, plan.tuning.config)) if finished else None
