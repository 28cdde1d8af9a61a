"""Trials -> job arrays: by what they ask for, packed, split to what the cluster takes, capped."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.launch.slurm import client, entry
from harness.launch.todo import Task
from harness.sweep.launch_config import LaunchConfig, Resources, minutes
from harness.sweep.overrides import resources_of

INDEX, RESTART = "${SLURM_ARRAY_TASK_ID:-0}", "${SLURM_RESTART_COUNT:-0}"
ENTRY = entry.__name__
SLURM_ID = "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"


@dataclass(frozen=True)
class JobArray:
    """Jobs of one shape that are submitted together. `resources` has no open fields left but the cluster's own.

    `limit`: jobs of it at once; `after`: how many places before it in the list the array lies that has to end first.
    """

    resources: Resources
    jobs: list[list[Task]]
    limit: int
    after: int | None = None


def arrays(tasks: Sequence[Task], launch: LaunchConfig, max_size: int) -> list[JobArray]:
    """Groups tasks by the shape of their job, packs them, and splits what is larger than `max_size`."""
    groups: dict[tuple[Resources, int], list[Task]] = {}
    for task in tasks:
        shape = _filled(resources_of(launch, task.trial.config), task)
        groups.setdefault((shape, task.num_threads), []).append(task)
    made = []
    for (shape, _), group in groups.items():
        jobs = list(_chunks(group, shape.pack or 1))
        made += [JobArray(shape, chunk, len(chunk)) for chunk in _chunks(jobs, max_size)]
    return made


def _filled(asked: Resources, task: Task) -> Resources:
    """The same with what the trials need where nothing is said."""
    pack = asked.pack or 1
    gpus = pack * task.num_processes * (task.device == "cuda") if asked.gpus is None else asked.gpus
    cpus = asked.cpus or pack * task.num_processes * task.num_threads
    return asked.model_copy(update={"pack": pack, "gpus": gpus, "cpus": cpus})


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
        "cpus_per_task": asked.cpus,
        "srun_args": [f"--cpus-per-task={asked.cpus}"],  # since 22.05 srun does not take it from sbatch
        "array_parallelism": array.limit,
        "signal_delay_s": launch.signal_delay_s,
        "stderr_to_stdout": True,
        "wckey": None,  # submitit's own would be refused where keys are checked
        "setup": setup_lines(launch, folder, code),
        "teardown": teardown_lines(folder),
        "additional_parameters": more,
        **({"gpus_per_node": asked.gpus} if asked.gpus else {}),
        **({"exclusive": True} if asked.exclusive else {}),
        **({"exclude": excluded} if excluded else {}),
    }


def setup_lines(launch: LaunchConfig, folder: Path, code: Path) -> list[str]:
    """The shell's part before Python starts: it notes the node, so that a node without Python can be told."""
    started, ended = (f"{shlex.quote(str(folder / kind))}/{INDEX}" for kind in ("started", "ended"))
    return [
        f"mkdir -p {started} {ended}",
        f'echo "${{SLURMD_NODENAME:-$(hostname)}} {SLURM_ID}" > {started}/{RESTART}',
        *launch.setup,
        f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}",
    ]


def teardown_lines(folder: Path) -> list[str]:
    """The shell's part at the end: how Python ended, unless Python said so itself; the job's exit code stays."""
    ended = f"{shlex.quote(str(folder / 'ended'))}/{INDEX}/{RESTART}"
    return ["harness_code=$?", f'[ -e {ended} ] || echo "shell $harness_code" > {ended}', "exit $harness_code"]


def python_command() -> str:
    """What starts Python in a job, see `harness.launch.slurm.entry`. Where `env` can hold the signal back, it does so
    some milliseconds earlier than Python could."""
    early = client.ask("env", "--block-signal=USR2", "true")
    return f"{'' if early.problem else 'env --block-signal=USR2 '}{shlex.quote(sys.executable)} -P -m {ENTRY}"


def summary(array: JobArray) -> str:
    """A shape in words: 'partition low, 2 CPUs, 1 GPU, 01:00:00'."""
    asked = array.resources
    named = ("partition", "account", "qos", "constraint", "mem")
    words = [f"{name} {value}" for name in named if (value := getattr(asked, name))]
    words += [f"{asked.cpus} CPU{'s' * (asked.cpus != 1)}"]
    words += [f"{asked.gpus} GPU{'s' * (asked.gpus != 1)}"] if asked.gpus else []
    words += [f"{asked.pack} trials a job"] if asked.pack != 1 else []
    return ", ".join([*words, f"{asked.time}"])
