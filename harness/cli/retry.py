"""`retry`: put failed trials back in the queue, and start them if wanted."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.common import arguments
from harness.cli.common.confirm import add_yes, confirm
from harness.errors import UserError
from harness.record import FINAL_STATUSES
from harness.store.plan_file import PlanSource
from harness.units import counted

if TYPE_CHECKING:
    from harness.store import Store, TrialFolder
    from harness.store.plan_file import PlanFile

FAILED = tuple(status for status in FINAL_STATUSES if status != "done")
RETRIABLE = (*FAILED, "lost", "preempted")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument(
        "--status", metavar="LIST",
        help=f"only these, comma-separated, of: {', '.join(RETRIABLE)} (default: all but the last two, which the sweep "
        "command continues without `retry`)",
    )  # fmt: skip
    parser.add_argument(
        "--from-scratch", action="store_true",
        help="move the checkpoints to the run's trash and train again from the first step",
    )  # fmt: skip
    add_yes(parser)
    parser.add_argument("--start", action="store_true", help="start these trials now, and no others")
    parser.add_argument("--launch", metavar="NAME", help="with --start: the launcher, as in `sweep`")


def run(parsed: argparse.Namespace) -> int:
    from harness.store import Store

    wanted = FAILED if parsed.status is None else tuple(word.strip() for word in parsed.status.split(","))
    unknown = [status for status in wanted if status not in RETRIABLE]
    if unknown:
        raise UserError(f"--status {','.join(unknown)}: cannot be retried. Statuses: {', '.join(RETRIABLE)}")
    if parsed.launch and not parsed.start:
        raise UserError("--launch: only with --start; give both or neither")
    store = Store(parsed.run.resolve())
    plan = store.plan()
    chosen = _chosen(store, plan, wanted)
    if not _agreed(parsed, chosen):
        return 1
    if parsed.start and chosen:
        return _start(parsed, store, plan, [folder.trial_id for folder in chosen])
    if not chosen:
        print(f"nothing to retry. To run pending, lost or preempted trials: {_again(store, plan)}")
        return 0
    _requeue(store, chosen, parsed.from_scratch)
    print(f"pending again: {counted(len(chosen), 'trial')}. To start them: {_again(store, plan)}")
    return 0


def _agreed(parsed: argparse.Namespace, chosen: list[TrialFolder]) -> bool:
    """Ask before progress is given up. Raises: UserError where there is no terminal to ask on and no `--yes`."""
    trained = [folder for folder in chosen if any(file.exists() for file in folder.checkpoint_files)]
    if not (parsed.from_scratch and trained):
        return True
    return confirm(f"checkpoints of {counted(len(trained), 'trial')} to move to the trash", yes=parsed.yes)


def _again(store: Store, plan: PlanFile) -> str:
    """Return the command that continues this run, with the options that this folder needs."""
    from harness.launch.launchers import name_of

    if not plan.command:
        return "run the sweep command"
    if plan.source is not None and plan.source.file is None:
        return f"python -m harness retry {shlex.quote(str(store.path))} --start"  # the plan came from Python
    words = [plan.command]
    if store.path.parent != Path(plan.directory or ".").resolve() / "runs":
        words.append(f"--runs {shlex.quote(str(store.path.parent))}")
    jobs = [attempt.get("job") for folder in store.trials() for attempt in folder.attempts()[-1:]]
    words += [f"--launch {name_of(job)}" for job in [*filter(None, jobs)][:1]]
    where = plan.directory if plan.directory and Path(plan.directory).resolve() != Path.cwd() else ""
    return f"{' '.join(words)}{f'  (in {where})' if where else ''}"


def _chosen(store: Store, plan: PlanFile, wanted: tuple[str, ...]) -> list[TrialFolder]:
    """Returns the trials with these statuses that neither a worker nor, as far as its launcher says, a job has."""
    from harness.launch import launchers
    from harness.launch.overview import standings

    found = [
        item for item in standings(store, plan, verify=True) if item.status in wanted and not item.folder.is_held()
    ]
    owners = launchers.owners(store, [item.folder for item in found if item.written.job])
    left_ids = owners.taken | owners.unknown
    left = [item for item in found if item.folder.trial_id in left_ids]
    if left:
        why = f"may have one ({owners.problem})" if owners.problem else "have one"
        titles = launchers.titles_of(item.written.job for item in left)
        print(f"{len(left)} trials are skipped because they {why} in {titles}; `cancel` ends it")
    return [item.folder for item in found if item.folder.trial_id not in left_ids]


def _requeue(store: Store, chosen: list[TrialFolder], from_scratch: bool) -> None:
    from harness.store import exclusive_lock

    with exclusive_lock(store.lock_file) as got:
        if not got:
            raise UserError(f"{store.path}: a sweep command is running in this folder. Wait for it to end.")
        for folder in chosen:
            folder.requeue(from_scratch=from_scratch)


def _start(parsed: argparse.Namespace, store: Store, plan: PlanFile, trial_ids: list[str]) -> int:
    """Run only these trials. The sweep is planned again in the folder where it was planned before."""
    from harness.python_api.plans import plan_again, variant_dirs_of
    from harness.running import RunOptions, run_plan

    source = source_of(store, plan)
    if store.path.name != plan.sweep:
        raise UserError(f"{store.path}: holds the run of {plan.sweep}. Give the folder that name again.")
    if plan.directory and os.path.isdir(plan.directory):
        os.chdir(plan.directory)
    planned = plan_again(source, parsed.launch)
    options = RunOptions(
        runs=store.path.parent, variant_dirs=variant_dirs_of(planned), trial_ids=tuple(trial_ids),
        from_scratch=parsed.from_scratch,
    )  # fmt: skip
    return run_plan(planned, options)


def source_of(store: Store, plan: PlanFile) -> PlanSource:
    """Return what a run was planned from; in older plans it is parsed from the command.

    Raises:
        UserError: the plan has neither.
    """
    if plan.source is not None and (plan.source.file or plan.source.content):
        return plan.source
    words = _words(plan.command)
    if "sweep" not in words:
        raise UserError(f"{store.plan_file}: has no source and no sweep command. Run the sweep command again.")
    parser = argparse.ArgumentParser(exit_on_error=False, add_help=False)
    arguments.add_sweep(parser)
    try:
        given, _ = parser.parse_known_args(words[words.index("sweep") + 1 :])
    except (argparse.ArgumentError, SystemExit) as error:
        message = f"{store.plan_file}: its command `{plan.command}` cannot be parsed. Run the sweep command again."
        raise UserError(message) from error
    return PlanSource(file=str(given.file), overrides=given.overrides, variant_dirs=[*map(str, given.variants)])


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # an unclosed quote
        return []
