"""Trials -> job arrays: by what they ask for, packed, split to what the cluster takes, capped."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.launch.slurm import client, job_start
from harness.launch.tasks import Task
from harness.sweep.launch.config import LaunchConfig, Resources, minutes
from harness.sweep.launch.resources import resources_of

INDEX, RESTART = "${SLURM_ARRAY_TASK_ID:-0}", "${SLURM_RESTART_COUNT:-0}"
ENTRY = job_start.__name__
SLURM_ID = "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"


@dataclass(frozen=True)
class JobArray:
    """Jobs of one shape that are submitted together. `resources` has no open fields left but the cluster's own.

    `limit`: jobs of it at once; `after`: how many places before it in the list the array lies that has to end first.
    `ranks`: processes of each trial that SLURM starts, as the job's tasks; 1 where the trial's worker starts the rest.
    """

    resources: Resources
    jobs: list[list[Task]]
    limit: int
    after: int | None = None
    ranks: int = 1


def arrays(tasks: Sequence[Task], launch: LaunchConfig, max_size: int) -> list[JobArray]:
    """Groups tasks by the shape of their job, packs them, and splits what is larger than `max_size`."""
    groups: dict[tuple[Resources, int, int], list[Task]] = {}
    for task in tasks:
        shape = _filled(resources_of(launch, task.trial.config), task)
        ranks = task.num_processes if shape.nodes != 1 else 1
        groups.setdefault((shape, task.num_threads, ranks), []).append(task)
    made = []
    for (shape, _, ranks), group in groups.items():
        jobs = list(_chunks(group, shape.pack or 1))
        made += [JobArray(shape, chunk, len(chunk), ranks=ranks) for chunk in _chunks(jobs, max_size)]
    return made


def _filled(asked: Resources, task: Task) -> Resources:
    """The same with what the trials need where nothing is said."""
    pack = asked.pack or 1
    nodes = asked.nodes or 1 if task.num_processes > 1 else 1  # what is left to measure needs one process
    processes = pack * task.num_processes // nodes
    gpus = processes * (task.device == "cuda") if asked.gpus is None else asked.gpus
    cpus = asked.cpus or processes * task.num_threads
    return asked.model_copy(update={"pack": pack, "nodes": nodes, "gpus": gpus, "cpus": cpus})


def _chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for first in range(0, len(items), size):
        yield list(items[first : first + size])


def capped(made: Sequence[JobArray], cap: int | None) -> list[JobArray]:
    """The same arrays with at most `cap` jobs of all of them at once.

    Each of up to `cap` arrays gets its share; further ones wait for the end of one that has the same share.
    """
    if cap is None or not made:
        return list(made)
    lanes = min(cap, len(made))
    shares = [cap // lanes + (lane < cap % lanes) for lane in range(lanes)]
    return [
        replace(array, limit=shares[index % lanes], after=lanes if index >= lanes else None)
        for index, array in enumerate(made)
    ]


def sbatch_parameters(
    array: JobArray, launch: LaunchConfig, name: str, folder: Path, code: Path, exclude: Sequence[str]
) -> dict[str, Any]:
    """Submitit's parameters for one array."""
    asked = array.resources
    given = asked.model_dump(include={"partition", "account", "qos", "constraint", "mem"}, exclude_none=True)
    excluded = ",".join([*([launch.exclude] if launch.exclude else []), *exclude])
    more = {"requeue": True, "chdir": str(Path.cwd())}
    return given | {
        "job_name": name,
        "time": minutes(asked.time or launch.time),
        **_tasks(array),
        "array_parallelism": array.limit,
        "signal_delay_s": launch.signal_delay_s,
        "stderr_to_stdout": True,
        "wckey": None,  # submitit's own would be refused where keys are checked
        "setup": setup_lines(launch, folder, code),
        "teardown": teardown_lines(),
        "additional_parameters": more,
        **({"gpus_per_node": asked.gpus} if asked.gpus else {}),
        **({"exclusive": True} if asked.exclusive else {}),
        **({"exclude": excluded} if excluded else {}),
    }


def _tasks(array: JobArray) -> dict[str, Any]:
    """One task with all CPUs; or one for each rank, as many on every node. One that ends in error ends all."""
    asked, nodes = array.resources, array.resources.nodes or 1
    each = array.ranks // nodes
    cpus = (asked.cpus or 1) // each if nodes > 1 else asked.cpus
    srun = [f"--cpus-per-task={cpus}"]  # since 22.05 srun does not take it from sbatch
    if nodes == 1:
        return {"cpus_per_task": cpus, "srun_args": srun}
    srun += [f"--ntasks={array.ranks}", "--kill-on-bad-exit=1", "--wait=0"]
    return {"cpus_per_task": cpus, "srun_args": srun, "nodes": nodes, "ntasks_per_node": each}


def setup_lines(launch: LaunchConfig, folder: Path, code: Path) -> list[str]:
    """The shell's part before Python starts: it notes the node, so that a node without Python can be told.

    A setup that exits ends the script on the spot, so how the job ended is noted by a trap that is set before it,
    unless Python said so itself; the job's exit code stays.
    """
    started, ended = (f"{shlex.quote(str(folder / kind))}/{INDEX}" for kind in ("started", "ended"))
    return [
        f"mkdir -p {started} {ended}",
        f'echo "${{SLURMD_NODENAME:-$(hostname)}} {SLURM_ID}" > {started}/{RESTART}',
        f"harness_ended() {{ local code=$? mark={ended}/{RESTART}; "
        '[ -e "$mark" ] || echo "shell $code" > "$mark"; return $code; }',
        "trap harness_ended EXIT",
        *launch.setup,
        f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}",
        "export PYTHONSAFEPATH=1",  # -P for workers too: a job may lie in the very clone that has been edited since
    ]


def teardown_lines() -> list[str]:
    """The shell's part at the end, for a setup with a trap of its own in place of ours."""
    return ["harness_ended", "exit $?"]


def python_command() -> str:
    """Return the command that starts Python in a job, see `harness.launch.slurm.job_start`.

    Where `env` can block the signal, it does so some milliseconds earlier than Python could.
    """
    early = client.ask("env", "--block-signal=USR2", "true")
    return f"{'' if early.problem else 'env --block-signal=USR2 '}{shlex.quote(sys.executable)} -P -m {ENTRY}"


def summary(array: JobArray) -> str:
    """A shape in words: 'partition low, 2 CPUs, 1 GPU, 01:00:00'."""
    asked = array.resources
    named = ("partition", "account", "qos", "constraint", "mem")
    words = [f"{name} {value}" for name in named if (value := getattr(asked, name))]
    spread = f"{array.ranks} processes on {asked.nodes} nodes, each with " if array.ranks != 1 else ""
    words += [f"{spread}{asked.cpus} CPU{'s' * (asked.cpus != 1)}"]
    words += [f"{asked.gpus} GPU{'s' * (asked.gpus != 1)}"] if asked.gpus else []
    words += [f"{asked.pack} trials a job"] if asked.pack != 1 else []
    return ", ".join([*words, f"{asked.time}"])
