"""Run a plan: train and measure open trials, keep finished ones, write the report.

The command line and the Python API both call `run_plan`. All state is read from the files of the run, so the same call
continues after any interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError, worded
from harness.units import counted

if TYPE_CHECKING:
    from harness.launch.base import LaunchRequest
    from harness.launch.snapshot import Snapshot
    from harness.launch.tasks import Todo
    from harness.store import Store
    from harness.sweep.plan import Plan, PlannedTrial


@dataclass(frozen=True)
class RunOptions:
    """Options of a run. None of them changes the result of a trial.

    `jobs` is the number of trials at once (None: one per core or GPU).
    `only` are conditions that all hold. `trial_ids` are trials to put back in the queue, and no others run (None: all
    that are open); `from_scratch` removes their checkpoints. Trials that run or are done stay as they are.
    `rerun_stale` trains trials again whose record was made by other code.
    """

    runs: Path = Path("runs")
    variant_dirs: tuple[Path, ...] = ()
    jobs: int | None = None
    time_budget_s: float | None = None
    only: tuple[str, ...] = ()
    trial_ids: tuple[str, ...] | None = None
    from_scratch: bool = False
    cancel_dropped: bool = False
    replace_plan: bool = False
    rerun_stale: bool = False
    write_report: bool = True


def find_trials(plan: Plan, options: RunOptions) -> tuple[Store, list[PlannedTrial], Todo]:
    """Return the run's store, the chosen trials, and their state by their files.

    Raises:
        UserError: a file is in the way of the folder, a condition fits no trial, or a record is damaged.
    """
    from harness.launch.tasks import code_of_trials, find_todo
    from harness.store import Store
    from harness.store.folders import check_folder
    from harness.sweep.select import select

    check_folder(options.runs)
    store = Store(options.runs / plan.name)
    chosen = _wanted(select(plan, options.only), options)
    return store, chosen, find_todo(plan, store, chosen, code_of_trials(options.variant_dirs))


def run_plan(plan: Plan, options: RunOptions) -> int:
    """Run what is open of a plan and write the report. Return the exit code: 0 if every chosen trial is done, else 1.

    Raises:
        UserError: the folder is in use or holds another question, or the plan cannot run here.
    """
    from harness.launch.launchers import launcher

    if plan.tuning is None:  # the plan of a search is only known after it
        _check_ids(plan, options)
    store, chosen, todo = find_trials(plan, options)
    if plan.tuning is None:
        size = f"{counted(len(plan.rows), 'row')}, {counted(len(chosen), 'trial')}"
        print(worded(f"{plan.name}: {size}: {todo.summary()}"), flush=True)
    elif options.only:
        raise UserError("--only: a sweep with `tune:` searches all its rows with the same budget. Leave it out.")
    will_start = bool(todo.tasks) or options.rerun_stale
    launcher(plan.launch.where).check(_request(plan, store, options), will_start=will_start)
    return _run(plan, store, chosen, options)


def _check_ids(plan: Plan, options: RunOptions) -> None:
    """Check that the plan has the trials to put back in the queue."""
    unknown = {*(options.trial_ids or ())} - {trial.trial_id for trial in plan.trials}
    if unknown:
        raise UserError(
            f"{', '.join(sorted(unknown))}: not in the plan of {plan.name}. If this version of the harness gives these "
            f"trials other ids, the old run can be read and not continued: run the sweep in another folder (--runs)."
        )


def _request(plan: Plan, store: Store, options: RunOptions, code: Snapshot | None = None) -> LaunchRequest:
    """The request to the launcher of the plan."""
    from harness.launch.base import LaunchRequest
    from harness.launch.snapshot import OWN

    return LaunchRequest(
        plan, store, code or OWN, options.jobs, options.time_budget_s, options.cancel_dropped
    )  # fmt: skip


def _run(plan: Plan, store: Store, chosen: list[PlannedTrial], options: RunOptions) -> int:
    """Under the run's lock: read the files again, run, report."""
    from harness.store import exclusive_lock
    from harness.store.folders import make_folder
    from harness.sweep.takeover import check_takeover

    make_folder(store.path)
    with exclusive_lock(store.lock_file) as got:
        if not got:
            raise UserError(
                f"{store.path}: another sweep command is running in this folder. "
                f"Wait for it, or choose another folder with --runs."
            )
        code = None
        if plan.tuning is not None:
            code = _snapshot(plan, store, options)  # for the search and for the trials that follow it
            tuned = _tune(plan, store, options, code)
            if tuned is None:
                print(worded("stopped during the search; the same command continues."))
                return 1
            _check_ids(tuned, options)
            plan, chosen = tuned, _wanted(tuned.trials, options)
        if not options.replace_plan:
            check_takeover(plan, store)
        return _run_locked(plan, store, chosen, options, code)


def _snapshot(plan: Plan, store: Store, options: RunOptions) -> Snapshot:
    """Copy the code into the run, so that later edits change nothing for its trials."""
    from harness.launch.snapshot import take
    from harness.registry import packages_of

    names = None if plan.tuning else {trial.config["variant"]["name"] for trial in plan.trials}
    return take(store.path, options.variant_dirs, packages_of(names, options.variant_dirs).values())


def _run_locked(
    plan: Plan, store: Store, chosen: list[PlannedTrial], options: RunOptions, code: Snapshot | None
) -> int:
    """Write the plan, run what is open of the chosen trials, report. The caller holds the run's lock."""
    from harness.launch.launchers import end_dropped, launcher, without_owned
    from harness.launch.tasks import find_todo, mark_done

    stale = _repeat(plan, store, chosen, options)
    store.write_plan(plan.to_file(stale))
    todo = find_todo(plan, store, chosen)
    if todo.tasks and code is None:
        code = _snapshot(plan, store, options)
    chosen_launcher, request = launcher(plan.launch.where), _request(plan, store, options, code)
    if chosen_launcher.detaches:
        end_dropped(request)
    todo = replace(todo, tasks=without_owned(store, todo.tasks, chosen_launcher))
    finished = chosen_launcher.run(request, todo)
    if chosen_launcher.detaches:
        return 0
    todo = find_todo(plan, store, chosen)
    mark_done(store, todo.unmarked)
    if options.write_report:
        _report(store.path)
    return _closing(store, todo, chosen, finished)


def _repeat(plan: Plan, store: Store, chosen: list[PlannedTrial], options: RunOptions) -> list[str]:
    """Requeue the trials to run again; return the other trials whose record was made by other code."""
    from harness.launch.tasks import code_of_trials, find_todo, repeat

    for folder in map(store.trial, options.trial_ids or ()):
        if folder.is_held():
            print(f"{folder.trial_id}: runs at the moment and is left as it is")
        elif folder.path.exists():  # a trial that never started is open anyway
            folder.requeue(from_scratch=options.from_scratch)
    stale = find_todo(plan, store, code_of=code_of_trials(options.variant_dirs)).stale
    if not options.rerun_stale:
        return stale
    again = {trial.trial_id for trial in chosen} & set(stale)
    repeat(store, [trial_id for trial_id in stale if trial_id in again])
    return [trial_id for trial_id in stale if trial_id not in again]


def _wanted(trials: Sequence[PlannedTrial], options: RunOptions) -> list[PlannedTrial]:
    wanted = None if options.trial_ids is None else set(options.trial_ids)
    return [trial for trial in trials if wanted is None or trial.trial_id in wanted]


def _tune(plan: Plan, store: Store, options: RunOptions, code: Snapshot) -> Plan | None:
    """Search every row; return the plan of what was chosen, or None where it was stopped before the end."""
    from harness.launch.launchers import launcher
    from harness.store import TUNING, Store, exclusive_lock
    from harness.tune import tune

    assert plan.tuning is not None
    if not store.plan_file.exists():  # the trials are known at the end of the search, the question is known now
        store.write_plan(replace(plan, rows=[], trials=[], baseline_row=None).to_file())
    budget = plan.tuning.config.num_trials
    size = f"{counted(budget, 'trial')} for each of {counted(len(plan.rows), 'row')}"
    print(f"{plan.name}: a search of {size}", flush=True)
    searched = Store(store.path / TUNING)
    run = partial(launcher(plan.launch.where).search, _request(plan, searched, options, code))
    with exclusive_lock(searched.lock_file) as got:
        if not got:  # `cancel` asked for this folder alone
            raise UserError(f"{searched.path}: another command is running in this folder. Wait for it.")
        return tune(plan, store.path, code, run)


def _report(run: Path) -> None:
    from harness.reports import write_all

    write_all(run)
    print(f"report: {run / 'report' / 'index.html'}")


def _closing(store: Store, todo: Todo, chosen: list[PlannedTrial], finished: bool) -> int:
    """Print the failed and open trials; return the exit code."""
    trials = {trial.trial_id: trial for trial in chosen}
    for trial_id, message in todo.failed.items():
        trial = trials[trial_id]
        print(f"{trial_id}  {trial.label}, seed {trial.seed}: {message}")
    if todo.failed:
        print(f"`python -m harness retry {store.path}` puts them back in the queue.")
    if not finished or todo.tasks:
        print(worded(f"stopped with {counted(len(todo.tasks), 'trial')} open; the same command continues."))
    return 1 if todo.failed or todo.tasks else 0
