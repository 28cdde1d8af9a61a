"""What runs in a SLURM job: the local pool over the trials of one job of a submission.

    python -P -m harness.launch.slurm.job SUBMISSION_FOLDER INDEX --parent PID

On several nodes it runs in every task of the job; all but the first become another rank of the one trial.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import EXIT_USER_ERROR, UserError
from harness.launch.display.progress import PlainLines
from harness.launch.job import exit_code, open_task, own_trials
from harness.launch.local.pool import LocalPool
from harness.launch.slurm import submission
from harness.launch.slurm.logs import job_folder
from harness.launch.slurm.submission import Submission
from harness.launch.tasks import TrialTask
from harness.record import FINAL_STATUSES
from harness.store import Store, exclusive_lock
from harness.sweep.launch.config import LaunchConfig
from harness.worker.reporter import NODE_VARIABLE
from harness.worker.signals import EXIT_DONE, EXIT_FAILED, STOP_SIGNALS, end_with_parent


def main(arguments: Sequence[str]) -> int:
    """Runs one job of a submission; returns its exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name if __spec__ else __name__}")
    parser.add_argument("folder", type=Path, help="the folder of the submission: RUN/jobs/TOKEN")
    parser.add_argument("index", type=int, help="which job of the array")
    parser.add_argument("--parent", type=int, metavar="PID", help="stop when this process is gone")
    parsed = parser.parse_args(arguments)
    if parsed.parent is not None:
        end_with_parent(parsed.parent)
    try:
        return run(parsed.folder, parsed.index)
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_USER_ERROR


def run(folder: Path, index: int) -> int:
    """Runs the trials of one job of a submission; returns its exit code, and the first task writes it as a mark."""
    noted = submission.read(folder)
    restart = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    code = _run(Store(folder.parent.parent), noted, index, restart)
    if noted.nodes > 1 and _own_rank():
        return code
    mark = folder / "ended" / str(index) / str(restart)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"job {code}\n", encoding="utf-8")
    return code


def _run(store: Store, noted: Submission, index: int, restart: int) -> int:
    node = os.environ[NODE_VARIABLE] = os.environ.get("SLURMD_NODENAME", socket.gethostname())
    print(f"job {noted.job(index)} on {node}, start {restart + 1}", flush=True)
    if noted.state == "abandoned" or not 0 <= index < len(noted.trials):
        print("this submission was abandoned: its trials have another job", flush=True)
        return EXIT_DONE
    own = own_trials(store, noted.job(index), noted.trials[index])
    labels = {trial: label.rpartition(", seed ")[0] for trial, label in noted.labels.items()}
    tasks = [task for folder in own if (task := open_task(folder, labels[folder.trial_id])) is not None]
    if restart > noted.max_restarts:
        return _give_up(tasks, noted.max_restarts)
    pool = LocalPool(launch_of(noted), PlainLines(tasks))
    if noted.nodes > 1:
        os.environ["LOCAL_RANK"] = os.environ.get("SLURM_LOCALID", "0")
        file = _rendezvous_file(store, noted, index, restart)
        if _own_rank():
            return _follow(tasks, file)
        pool.starter.leading = _rank_arguments(0, file)
        tasks = [replace(task, num_processes=-(-task.num_processes // noted.nodes)) for task in tasks]  # those here
    pool.cores, warning = cores()
    pool.alone = has_whole_node()
    _warn(tasks, warning)
    pool.run(tasks)
    _note_warning(tasks, warning)
    return exit_code(own)


def _give_up(tasks: list[TrialTask], max_restarts: int) -> int:
    """Fails trials whose job was restarted too often."""
    for task in tasks:
        with exclusive_lock(task.folder.lock_file) as got:
            if got:
                status = task.folder.written_status()
                status.status = "failed"
                status.message = f"its job was restarted {max_restarts} times (launch.max_restarts)"
                task.folder.write_status(status)
    return EXIT_FAILED


def launch_of(noted: Submission) -> LaunchConfig:
    fields = {"num_workers", "time_limit_minutes", "stall_minutes", "warm_workers"}
    return LaunchConfig(**noted.model_dump(include=fields))


def cores() -> tuple[int, str]:
    """Returns (CPU cores for the trials, warning): fewer than the job requested if it is bound to fewer."""
    bound = len(os.sched_getaffinity(0))
    asked = int(os.environ.get("SLURM_CPUS_PER_TASK", bound))
    if bound >= asked:
        return asked, ""
    return bound, (
        f"the job requested {asked} CPUs and is bound to {bound}: trials are slow and timings doubtful. "
        f"Submit from outside of a job, and check TaskPlugin and SLURM_CPU_BIND."
    )


def has_whole_node() -> bool:
    """Returns whether the job has all CPUs of its node, so that no other job disturbs timings."""
    return int(os.environ.get("SLURM_CPUS_ON_NODE", "0")) >= (os.cpu_count() or 1)


def _warn(tasks: list[TrialTask], warning: str) -> None:
    if warning:
        print(warning, flush=True)
        for task in tasks:
            with open(task.folder.log_file, "a", encoding="utf-8") as log:
                log.write(f"{warning}\n")


def _note_warning(tasks: list[TrialTask], warning: str) -> None:
    """Adds the warning to the final status of each trial."""
    for task in tasks if warning else []:
        status = task.folder.written_status()
        if status.status in FINAL_STATUSES:
            status.message = "; ".join(filter(None, [status.message, warning]))
            task.folder.write_status(status)


def _own_rank() -> int:
    """Returns the number of this task in the job. SLURM counts from 0, node by node."""
    return int(os.environ.get("SLURM_PROCID", "0"))


def _rendezvous_file(store: Store, noted: Submission, index: int, restart: int) -> Path:
    """Returns the rendezvous file of this attempt; no other attempt uses the name."""
    folder = job_folder(store, noted.token) / "meeting"
    folder.mkdir(exist_ok=True)
    return folder / f"{index}.{os.environ.get('SLURM_JOB_ID', '')}.{restart}"


def _rank_arguments(rank: int, file: Path) -> list[str]:
    """Returns the arguments that give a worker its rank."""
    return ["--rank", str(rank), "--rendezvous", str(file)]


def _follow(tasks: Sequence[TrialTask], file: Path) -> int:
    """Becomes the worker of a rank other than 0; returns only where nothing is left to train."""
    task = next((task for task in tasks if task.stage == "train"), None)
    if task is None:
        return EXIT_DONE
    environment = dict(os.environ)
    environment |= {name: str(task.num_threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment["PYTHONUNBUFFERED"] = "1"
    command = [sys.executable, "-m", "harness", "worker", str(task.folder.path), "--stage", "train"]
    command += [*_rank_arguments(_own_rank(), file), "--parent", str(os.getppid())]
    log = os.open(task.folder.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    sys.stdout.flush()
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # until the worker has a handler
    os.execve(sys.executable, command, environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
