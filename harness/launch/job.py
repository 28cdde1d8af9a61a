"""What runs in a job of any launcher: the local pool over trials that name the job, see `harness.launch.base`."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UserError
from harness.launch.display.progress import PlainLines
from harness.launch.local.pool import LocalPool
from harness.launch.tasks import TrialTask, state_of, task_of
from harness.record import FINAL_STATUSES, OPEN_STATUSES
from harness.store import Store, TrialFolder
from harness.sweep.launch.config import LaunchConfig
from harness.sweep.plan import PlannedTrial
from harness.worker.signals import EXIT_DONE, EXIT_FAILED, EXIT_PREEMPTED


def run(store: Store, job: str, trial_ids: Sequence[str], launch: LaunchConfig) -> int:
    """Runs the trials of a job that still name it; returns the exit code of the job."""
    own = own_trials(store, job, trial_ids)
    tasks = [task for folder in own if (task := open_task(folder, folder.trial_id)) is not None]
    LocalPool(launch, PlainLines(tasks)).run(tasks)
    return exit_code(own)


def own_trials(store: Store, job: str, trial_ids: Sequence[str]) -> list[TrialFolder]:
    """Returns the trials that name the job: the others were cancelled, or another job has them now."""
    found = []
    for folder in map(store.trial, trial_ids):
        named = folder.written_status().job
        if named == job:
            found.append(folder)
        else:
            reason = f"job {named} has it now" if named else "it was taken back"
            print(f"{folder.trial_id}: left alone, {reason}", flush=True)
    return found


def open_task(folder: TrialFolder, label: str) -> TrialTask | None:
    """Returns the next stage of a trial; None where it has ended, or its files cannot be used."""
    try:
        state = state_of(folder)
        content = folder.config()
        config, identity = content["trial"], content["launch"]["data_identity"]
    except (UserError, KeyError, TypeError) as error:
        print(f"{folder.trial_id}: left alone: {error}", flush=True)
        return None
    if state.status in FINAL_STATUSES:
        print(f"{folder.trial_id}: {state.status} {state.message}".rstrip(), flush=True)
        return None
    return task_of(PlannedTrial(folder.trial_id, "", config["seed"], config, label, identity), folder)


def exit_code(own: Sequence[TrialFolder]) -> int:
    """Returns the exit code of a job: done, failed, or preempted where a trial is still open."""
    states = [state_of(folder).status for folder in own]
    if any(state in OPEN_STATUSES for state in states):
        return EXIT_PREEMPTED
    return EXIT_DONE if all(state == "done" for state in states) else EXIT_FAILED
