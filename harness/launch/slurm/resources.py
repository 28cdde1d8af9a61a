"""Groups trials into job arrays by their resources; packs, splits and limits them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.launch.slurm import client, job_start
from harness.launch.tasks import TrialTask
from harness.sweep.launch.config import LaunchConfig, Resources, minutes
from harness.sweep.launch.resources import resources_of

INDEX, RESTART = "${SLURM_ARRAY_TASK_ID:-0}", "${SLURM_RESTART_COUNT:-0}"
ENTRY = job_start.__name__
SLURM_ID = "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"


@dataclass(frozen=True)
class JobArray:
    """Jobs with the same resources that are submitted together; fields of `resources` that are None are up to SLURM.

    `limit`: jobs of it at once; `after`: how many places earlier in the list the array is that has to end first.
    `ranks`: processes of each trial that SLURM starts as tasks of the job; 1 where the trial's worker starts them.
    """

    resources: Resources
    jobs: list[list[TrialTask]]
    limit: int
    after: int | None = None
    ranks: int = 1


def arrays(tasks: Sequence[TrialTask], launch: LaunchConfig, max_size: int) -> list[JobArray]:
    """Groups tasks by the resources of their job, packs them, and splits arrays that are larger than `max_size`."""
    groups: dict[tuple[Resources, int, int], list[TrialTask]] = {}
    for task in tasks:
        shape = _filled(resources_of(launch, task.trial.config), task)
        ranks = task.num_processes if shape.nodes != 1 else 1
        groups.setdefault((shape, task.num_threads, ranks), []).append(task)
    made = []
    for (shape, _, ranks), group in groups.items():
        jobs = list(_chunks(group, shape.pack or 1))
        made += [JobArray(shape, chunk, len(chunk), ranks=ranks) for chunk in _chunks(jobs, max_size)]
    return made


def _filled(asked: Resources, task: TrialTask) -> Resources:
    """Returns the resources with the needs of the trials where a field is not given."""
    pack = asked.pack or 1
    nodes = asked.nodes or 1 if task.num_processes > 1 else 1  # measuring needs one process
    processes = pack * task.num_processes // nodes
    gpus = processes * (task.device == "cuda") if asked.gpus is None else asked.gpus
    cpus = asked.cpus or processes * task.num_threads
    return asked.model_copy(update={"pack": pack, "nodes": nodes, "gpus": gpus, "cpus": cpus})


def _chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for first in range(0, len(items), size):
        yield list(items[first : first + size])


def capped(made: Sequence[JobArray], cap: int | None) -> list[JobArray]:
    """Returns the arrays with limits so that at most `cap` of their jobs run at once.

    Each of up to `cap` arrays gets a share; further ones wait for the end of one with the same share.
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
    """Returns submitit's parameters for one array."""
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
        "wckey": None,  # submitit's default would be refused where keys are checked
        "setup": setup_lines(launch, folder, code),
        "teardown": teardown_lines(),
        "additional_parameters": more,
        **({"gpus_per_node": asked.gpus} if asked.gpus else {}),
        **({"exclusive": True} if asked.exclusive else {}),
        **({"exclude": excluded} if excluded else {}),
    }


def _tasks(array: JobArray) -> dict[str, Any]:
    """Returns one task with all CPUs, or one task for each rank, evenly over the nodes; an error of one ends all."""
    asked, nodes = array.resources, array.resources.nodes or 1
    each = array.ranks // nodes
    cpus = (asked.cpus or 1) // each if nodes > 1 else asked.cpus
    srun = [f"--cpus-per-task={cpus}"]  # since 22.05 srun does not inherit it from sbatch
    if nodes == 1:
        return {"cpus_per_task": cpus, "srun_args": srun}
    srun += [f"--ntasks={array.ranks}", "--kill-on-bad-exit=1", "--wait=0"]
    return {"cpus_per_task": cpus, "srun_args": srun, "nodes": nodes, "ntasks_per_node": each}


def setup_lines(launch: LaunchConfig, folder: Path, code: Path) -> list[str]:
    """Returns the shell lines before Python starts; they note the node, so that a node without Python can be found.

    A setup that exits ends the script at once, so a trap that is set before it notes the exit code of the job, unless
    Python has noted it. The exit code is kept.
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
        "export PYTHONSAFEPATH=1",  # -P for workers too: the working directory may be a clone that was edited since
    ]


def teardown_lines() -> list[str]:
    """Returns the shell lines at the end, for a setup whose own trap replaces ours."""
    return ["harness_ended", "exit $?"]


def python_command() -> str:
    """Return the command that starts Python in a job, see `harness.launch.slurm.job_start`.

    Where `env` can block the signal, it does so some milliseconds earlier than Python could.
    """
    early = client.ask("env", "--block-signal=USR2", "true")
    return f"{'' if early.problem else 'env --block-signal=USR2 '}{shlex.quote(sys.executable)} -P -m {ENTRY}"


def summary(array: JobArray) -> str:
    """Returns the resources of an array as text: 'partition low, 2 CPUs, 1 GPU, 01:00:00'."""
    asked = array.resources
    named = ("partition", "account", "qos", "constraint", "mem")
    words = [f"{name} {value}" for name in named if (value := getattr(asked, name))]
    spread = f"{array.ranks} processes on {asked.nodes} nodes, each with " if array.ranks != 1 else ""
    words += [f"{spread}{asked.cpus} CPU{'s' * (asked.cpus != 1)}"]
    words += [f"{asked.gpus} GPU{'s' * (asked.gpus != 1)}"] if asked.gpus else []
    words += [f"{asked.pack} trials a job"] if asked.pack != 1 else []
    return ", ".join([*words, f"{asked.time}"])
