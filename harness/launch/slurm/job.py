"""What runs in a job: the local pool over the trials that the submission gives it.

On several nodes it runs in every task of the job; all but the first become another rank of the one trial.
"""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

from harness.errors import UserError
from harness.launch.local import LocalPool
from harness.launch.progress import PlainLines
from harness.launch.slurm import ranks, submission
from harness.launch.slurm.submission import Submission
from harness.launch.tasks import Task, state_of, task_of
from harness.record import FINAL_STATUSES, OPEN_STATUSES
from harness.store import Store, TrialFolder, exclusive_lock
from harness.sweep.launch.config import LaunchConfig
from harness.sweep.plan import PlannedTrial
from harness.worker.signals import EXIT_DONE, EXIT_FAILED, EXIT_PREEMPTED


def run(folder: Path, index: int) -> int:
    """Runs the trials of one job of a submission; returns its exit code and, in its first task, leaves it as a mark."""
    noted = submission.read(folder)
    restart = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    code = _run(Store(folder.parent.parent), noted, index, restart)
    if noted.nodes > 1 and ranks.own_rank():
        return code
    mark = folder / "ended" / str(index) / str(restart)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"job {code}\n", encoding="utf-8")
    return code


def _run(store: Store, noted: Submission, index: int, restart: int) -> int:
    node = os.environ.get("SLURMD_NODENAME", socket.gethostname())
    print(f"job {noted.job(index)} on {node}, start {restart + 1}", flush=True)
    if noted.state == "abandoned" or not 0 <= index < len(noted.trials):
        print("this submission was given up: its trials belong to another one", flush=True)
        return EXIT_DONE
    own = [store.trial(trial) for trial in noted.trials[index] if _is_ours(store.trial(trial), noted.job(index))]
    tasks = [task for folder in own if (task := _task(folder, noted.labels[folder.trial_id])) is not None]
    if restart > noted.max_restarts:
        return _give_up(tasks, noted.max_restarts)
    pool = LocalPool(_launch(noted), PlainLines(tasks))
    if noted.nodes > 1:
        file = ranks.meeting(store, noted, index, restart)
        if ranks.own_rank():
            return ranks.follow(tasks, file)
        pool.leading = ranks.arguments(0, file)
        tasks = [replace(task, num_processes=-(-task.num_processes // noted.nodes)) for task in tasks]  # those here
    pool.cores, warning = cores()
    pool.alone = has_whole_node()
    _warn(tasks, warning)
    pool.run(tasks)
    _note_warning(tasks, warning)
    return _exit_code(own)


def _is_ours(folder: TrialFolder, job: str) -> bool:
    """A job runs a trial only as long as the trial names the job: it may have been cancelled or submitted anew."""
    named = folder.written_status().job
    if named != job:
        reason = f"job {named} has it now" if named else "it was taken back"
        print(f"{folder.trial_id}: left alone, {reason}", flush=True)
    return named == job


def _task(folder: TrialFolder, label: str) -> Task | None:
    """The stage that a trial's files ask for; None where nothing is left to do, or the files cannot be used."""
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
    trial = PlannedTrial(folder.trial_id, "", config["seed"], config, label.rpartition(", seed ")[0], identity)
    return task_of(trial, folder)


def _give_up(tasks: list[Task], max_restarts: int) -> int:
    """Ends trials whose job was started again and again."""
    for task in tasks:
        with exclusive_lock(task.folder.lock_file) as got:
            if got:
                status = task.folder.written_status()
                status.status = "failed"
                status.message = f"its job was restarted {max_restarts} times (launch.max_restarts)"
                task.folder.write_status(status)
    return EXIT_FAILED


def _launch(noted: Submission) -> LaunchConfig:
    return LaunchConfig(num_workers=noted.num_workers, time_limit_minutes=noted.time_limit_minutes)


def cores() -> tuple[int, str]:
    """(CPU cores that trials may share, warning): fewer than the job asked for if it is bound to fewer."""
    bound = len(os.sched_getaffinity(0))
    asked = int(os.environ.get("SLURM_CPUS_PER_TASK", bound))
    if bound >= asked:
        return asked, ""
    return bound, (
        f"the job asked for {asked} CPUs and is bound to {bound}: trials are slow and timings doubtful. "
        f"Submit from outside of a job, and look at TaskPlugin and SLURM_CPU_BIND."
    )


def has_whole_node() -> bool:
    """Whether the job was given all CPUs of its node, so that no neighbour disturbs timings."""
    return int(os.environ.get("SLURM_CPUS_ON_NODE", "0")) >= (os.cpu_count() or 1)


def _warn(tasks: list[Task], warning: str) -> None:
    if warning:
        print(warning, flush=True)
        for task in tasks:
            with open(task.folder.log_file, "a", encoding="utf-8") as log:
                log.write(f"{warning}\n")


def _note_warning(tasks: list[Task], warning: str) -> None:
    """Puts the warning into the last word on each trial."""
    for task in tasks if warning else []:
        status = task.folder.written_status()
        if status.status in FINAL_STATUSES:
            status.message = "; ".join(filter(None, [status.message, warning]))
            task.folder.write_status(status)


def _exit_code(own: list[TrialFolder]) -> int:
    states = [state_of(folder).status for folder in own]
    if any(state in OPEN_STATUSES for state in states):
        return EXIT_PREEMPTED
    return EXIT_DONE if all(state == "done" for state in states) else EXIT_FAILED
