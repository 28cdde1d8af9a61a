"""`sweep`: plan, run what is missing, report."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.common import arguments
from harness.errors import UserError
from harness.units import counted

if TYPE_CHECKING:
    from harness.launch.tasks import Todo
    from harness.store import Store
    from harness.sweep.plan import Plan, PlannedTrial


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_sweep_file(parser)
    parser.add_argument(
        "--jobs", type=arguments.positive_int, metavar="N", help="trials at once (default: one per core or GPU)"
    )
    parser.add_argument(
        "--launch", choices=["local", "slurm"], help="where trials run, whatever the file says (launch.where)"
    )
    parser.add_argument(
        "--cancel-dropped", action="store_true",
        help="slurm: end jobs of trials that the sweep no longer asks for (they are listed anyway)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the plan with its costs and run nothing")
    parser.add_argument(
        "--only", action="append", default=[], metavar="WHAT",
        help="run a part: FIELD=VALUE, seed=N, a row's label or the beginning of a trial id (repeatable: all hold)",
    )  # fmt: skip
    parser.add_argument(
        "--time-budget", type=arguments.parse_duration, metavar="TIME",
        help="stop after this time with all progress kept, e.g. 30m; the same command goes on",
    )  # fmt: skip
    parser.add_argument(
        "--replace-plan", action="store_true", help="take over a folder that holds the run of another question"
    )
    parser.add_argument(
        "--stale", choices=["keep", "rerun"], default="keep",
        help="finished trials whose record other code made: keep them (default), or set them aside and train again",
    )  # fmt: skip
    parser.add_argument("--no-report", action="store_true", help="do not write the report at the end")
    parser.set_defaults(retried=None, from_scratch=False)  # the trials that `retry --start` asks for, and how


def run(parsed: argparse.Namespace) -> int:
    from harness.cli.submission import check_launch
    from harness.data import data_identity
    from harness.launch.tasks import code_of_trials, find_todo
    from harness.store import Store
    from harness.sweep.plan import plan_sweep
    from harness.sweep.select import select

    arguments.check_folder(parsed.runs)
    if parsed.launch is not None:
        parsed.overrides = [*parsed.overrides, f"launch.where={parsed.launch}"]
    plan = plan_sweep(parsed.file, parsed.overrides, data_identity=data_identity, variant_dirs=parsed.variants)
    store = Store(parsed.runs / plan.name)
    chosen = select(plan, parsed.only)
    if parsed.retried is not None:
        parsed.retried = set(parsed.retried)
        chosen = [trial for trial in chosen if trial.trial_id in parsed.retried]
    todo = find_todo(plan, store, chosen, code_of_trials(parsed.variants))
    if parsed.dry_run:
        from harness.cli.common.plan_table import print_plan

        print_plan(plan, chosen, todo, parsed.variants)
        return 0
    if plan.tuning is None:
        size = f"{counted(len(plan.rows), 'row')}, {counted(len(chosen), 'trial')}"
        print(f"{plan.name}: {size}: {todo.summary()}", flush=True)
    elif parsed.only:
        raise UserError("--only: a sweep with `tune:` searches all its rows with the same budget. Leave it out.")
    check_launch(parsed, plan, store, todo)
    return _run(parsed, plan, store, chosen)


def _run(parsed: argparse.Namespace, plan: Plan, store: Store, chosen: list[PlannedTrial]) -> int:
    """Under the run's lock: looks again, runs, reports."""
    from harness.cli.submission import submit_sweep, without_jobs
    from harness.launch.tasks import code_of_trials, find_todo, prepare, repeat, settle
    from harness.store import exclusive_lock

    arguments.make_folder(store.path)
    with exclusive_lock(store.lock_file) as got:
        if not got:
            raise UserError(
                f"{store.path}: another sweep command is at work in this folder. "
                f"Wait for it, or give this one a folder of its own with --runs."
            )
        if plan.tuning is not None:
            tuned = _tune(parsed, plan, store)
            if tuned is None:
                print("stopped in the midst of the search; the same command goes on from here.")
                return 1
            plan = tuned
            chosen = [trial for trial in plan.trials if parsed.retried is None or trial.trial_id in parsed.retried]
        _check_plan(parsed, plan, store)
        for trial_id in parsed.retried or ():
            store.trial(trial_id).requeue(from_scratch=parsed.from_scratch)
        stale = find_todo(plan, store, code_of=code_of_trials(parsed.variants)).stale
        if parsed.stale == "rerun":
            again = {trial.trial_id for trial in chosen} & set(stale)
            repeat(store, [trial_id for trial_id in stale if trial_id in again])
            stale = [trial_id for trial_id in stale if trial_id not in again]
        store.write_plan(plan.to_file(_command(parsed), stale))
        todo = find_todo(plan, store, chosen)
        if plan.launch.where == "slurm":
            return submit_sweep(parsed, plan, store, todo)
        todo = replace(todo, tasks=without_jobs(store, todo.tasks))
        prepare(todo, plan, parsed.variants)
        finished = _launch(parsed, plan, todo)
        todo = find_todo(plan, store, chosen)
        settle(store, todo.unsettled)
    if not parsed.no_report:
        _report(store.path)
    return _closing(store, todo, chosen, finished)


def _tune(parsed: argparse.Namespace, plan: Plan, store: Store) -> Plan | None:
    """Searches every row; the plan of what was chosen, or None where it was stopped before the end."""
    from harness.launch.parts import TUNING
    from harness.store import Store, exclusive_lock
    from harness.tune import local_run, tune

    assert plan.tuning is not None
    if not store.plan_file.exists():  # what is to be run is known at the end; who asks is known now
        store.write_plan(replace(plan, rows=[], trials=[], baseline_row=None).to_file(_command(parsed)))
    budget = plan.tuning.config.num_trials
    size = f"{counted(budget, 'trial')} for each of {counted(len(plan.rows), 'row')}"
    print(f"{plan.name}: a search of {size}", flush=True)
    run, searched = local_run(plan, parsed.jobs, parsed.time_budget), Store(store.path / TUNING)
    if plan.launch.where == "slurm":
        from harness.launch.slurm.search import run_search

        run = partial(run_search, plan, searched, parsed.variants, time_budget_s=parsed.time_budget)
    with exclusive_lock(searched.lock_file) as got:
        if not got:  # `cancel` asked for this folder alone
            raise UserError(f"{searched.path}: another command is at work in this folder. Wait for it.")
        return tune(plan, store.path, parsed.variants, run)


def _check_plan(parsed: argparse.Namespace, plan: Plan, store: Store) -> None:
    """Raises: UserError where the folder's plan came from another question and has trials that this one has not."""
    if not store.plan_file.exists() or parsed.replace_plan:
        return
    try:
        old = store.plan()
    except UserError:  # damaged: our plan takes its place, and the trials lie in folders of their own
        return
    if not old.command or old.command == _command(parsed):
        return
    asked = {trial.trial_id for trial in plan.trials}
    dropped = {trial for row in old.rows for trial in row.trials.values()} - asked
    if dropped:
        raise UserError(
            f"{store.path} holds the run of `{old.command}`; this command would take {len(dropped)} of its trials "
            f"out of the report. Give it a folder of its own with --runs DIR, or say --replace-plan."
        )


def _command(parsed: argparse.Namespace) -> str:
    """The command that asks this question again; what cannot change an answer (launch, jobs) is left out."""
    words = ["python", "-m", "harness", "sweep", str(parsed.file)]
    for override in parsed.overrides:
        words += [] if override.startswith("launch.") else ["--set", override]
    for folder in parsed.variants:
        words += ["--variants", str(folder)]
    return shlex.join(words)


def _launch(parsed: argparse.Namespace, plan: Plan, todo: Todo) -> bool:
    """Runs the tasks; False if stopped before the end."""
    if not todo.tasks:
        return True
    from harness.launch.local import LocalPool
    from harness.launch.progress import watch

    with watch(todo.tasks) as watcher:
        return LocalPool(plan.launch, watcher, parsed.jobs).run(todo.tasks, parsed.time_budget)


def _report(run: Path) -> None:
    from harness.reports import write_all

    write_all(run)
    print(f"report: {run / 'report' / 'index.html'}")


def _closing(store: Store, todo: Todo, chosen: list[PlannedTrial], finished: bool) -> int:
    """Says what did not come out; returns the exit code."""
    trials = {trial.trial_id: trial for trial in chosen}
    for trial_id, message in todo.failed.items():
        trial = trials[trial_id]
        print(f"{trial_id}  {trial.label}, seed {trial.seed}: {message}")
    if todo.failed:
        print(f"`python -m harness retry {store.path}` puts them back in the queue.")
    if not finished or todo.tasks:
        print(f"stopped with {counted(len(todo.tasks), 'trial')} open; the same command goes on from here.")
    return 1 if todo.failed or todo.tasks else 0
