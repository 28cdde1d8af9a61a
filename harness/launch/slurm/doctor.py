"""Checks of a cluster for `doctor`: whether SLURM answers, what it allows, and what a node reports."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.launch.doctor import Finding
from harness.launch.slurm import client
from harness.launch.slurm.acceptance import check_folder, verdict_on
from harness.measure.machine.environment import ROOT
from harness.sweep.launch.config import LaunchConfig, ResourceOverride, Resources, minutes

COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol")
MAX_SKEW_SECONDS = 5.0
REPORTED = {"node", "content", "time", "missing", "cpus", "cpus_asked", "gpus"}  # by `node_report`


def check_cluster(launch: LaunchConfig, runs: Path, wait_s: float) -> Iterator[Finding]:
    """Checks SLURM's commands, its controller, its limits, and a small job that waits at most `wait_s` seconds."""
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        yield _no_slurm(missing, launch)
        return
    config = client.ask("scontrol", "show", "config")
    if config.problem:
        todo = "wait for the controller, or ask who runs the cluster; nothing is lost meanwhile"
        yield Finding("problem", "slurm", config.problem, todo)
        return
    yield _submitit()
    yield Finding("ok", "slurm", f"answers: version {_setting(config.out, 'SLURM_VERSION')}")
    yield Finding("ok", "limits", f"arrays of up to {client.max_array_size()} jobs; longer ones are split")
    yield _preemption(config.out, launch)
    yield _accounting()
    partition = _partition(launch)
    yield partition
    if partition.kind != "problem":
        yield from check_resources(launch)
        yield from check_node(launch, runs, wait_s)


def _no_slurm(missing: list[str], launch: LaunchConfig) -> Finding:
    if launch.where == "slurm":
        return Finding("problem", "slurm", f"not found: {', '.join(missing)}", "log in to a machine of the cluster")
    return Finding("note", "slurm", f"not here ({', '.join(missing)} not found): sweeps run on this machine alone")


def _submitit() -> Finding:
    try:
        import submitit
    except ImportError as error:
        return Finding("problem", "submitit", f"cannot be imported: {error}", "pip install -e . again")
    return Finding("ok", "submitit", submitit.__version__)


def _setting(config: str, name: str) -> str:
    match = re.search(rf"^{name}\s*=\s*(.*)$", config, re.MULTILINE)
    return match[1].strip() if match else ""


def _preemption(config: str, launch: LaunchConfig) -> Finding:
    if "preempt_send_user_signal" in _setting(config, "SlurmctldParameters"):
        return Finding("ok", "preemption", "a job is signalled, writes a checkpoint, and is queued again")
    every = launch.checkpoint_every_steps
    text = f"a job may be killed after SIGTERM: a trial goes on from its last checkpoint (every {every} steps)"
    return Finding("note", "preemption", text)


def _accounting() -> Finding:
    problem = client.ask("sacct", "--version", timeout_s=10).problem
    return Finding("note" if problem else "ok", "sacct", f"{problem or 'there'}; not needed: only files count")


def _partition(launch: LaunchConfig) -> Finding:
    wanted = launch.partition or os.environ.get("SBATCH_PARTITION")
    options = [f"--partition={wanted}"] if wanted else []
    answer = client.ask("sinfo", "--noheader", "--format=%P|%a|%D|%l", *options)
    lines = [line.split("|") for line in answer.out.splitlines() if line.count("|") == 3]
    if answer.problem or not lines:
        text = answer.problem or f"no partition {wanted}"
        return Finding("problem", "partition", text, "`sinfo` lists them; set launch.partition")
    mine = lines if wanted else [line for line in lines if line[0].endswith("*")]
    if not mine:
        text = f"no default one, and none of {', '.join(line[0] for line in lines)} is asked for"
        return Finding("problem", "partition", text, "set launch.partition")
    if not any(state == "up" for _, state, _, _ in mine):
        text = f"{', '.join(line[0] for line in mine)} is down (* is the default one)"
        return Finding("problem", "partition", text, "wait, or choose another with launch.partition")
    up = [f"{name} ({nodes} nodes, limit {limit})" for name, state, nodes, limit in lines if state == "up"]
    return Finding("ok", "partition", ", ".join(up))


def check_resources(launch: LaunchConfig) -> Iterator[Finding]:
    """Checks whether SLURM could start the jobs of the block and of each override; submits nothing."""
    for number, shape in enumerate([launch, *(_overridden(launch, override) for override in launch.overrides)]):
        where = "launch" if number == 0 else f"launch.overrides[{number - 1}]"
        options = [*_options(shape, launch), f"--time={minutes(shape.time or launch.time)}"]
        options += [f"--nodes={shape.nodes or 1}"]
        verdict = verdict_on(options)
        todo = f"compare the fields of {where} with `sinfo`"
        if verdict.refusal:
            yield Finding("problem", "resources", f"{where}: {verdict.refusal}", todo)
        elif verdict.doubt:
            yield Finding("note", "resources", f"{where}: not now: {verdict.doubt}", todo)
        else:
            yield Finding("ok", "resources", f"{where}: SLURM would take such a job")


def _overridden(launch: LaunchConfig, override: ResourceOverride) -> Resources:
    """Returns the resources of a trial that fits this override alone."""
    chosen = {name: getattr(launch, name) for name in Resources.model_fields}
    return Resources(**(chosen | override.model_dump(include=override.model_fields_set - {"where"})))


def _options(shape: Resources, launch: LaunchConfig) -> list[str]:
    """Returns the options of sbatch and srun for a job of this shape."""
    named = shape.model_dump(include={"partition", "account", "qos", "constraint", "mem"}, exclude_none=True)
    named |= {"exclude": launch.exclude} if launch.exclude else {}
    named |= {"gpus-per-node": shape.gpus} if shape.gpus else {}
    options = [f"--{name}={value}" for name, value in named.items()]
    return [*options, f"--cpus-per-task={shape.cpus or 1}", *(["--exclusive"] if shape.exclusive else [])]


def check_node(launch: LaunchConfig, runs: Path, wait_s: float) -> Iterator[Finding]:
    """Runs a small job that reports what its node sees."""
    check_folder(runs)
    file = runs.resolve() / f".doctor.{uuid.uuid4().hex}.tmp"
    file.write_text(file.name, encoding="utf-8")
    name = f"doctor.{file.name.split('.')[2]}"
    try:
        began = time.time()
        answer = client.ask(*_command(launch, file, name, wait_s), timeout_s=wait_s + 60)
        ended = time.time()
    finally:
        file.unlink(missing_ok=True)
    try:
        report = json.loads(answer.out.splitlines()[-1])
        if not isinstance(report, dict) or not report.keys() >= REPORTED:
            raise ValueError("some other line")  # of launch.setup
    except (ValueError, IndexError, RecursionError):
        client.ask("scancel", f"--name={name}")
        text = f"no node answered within {wait_s:g} s ({answer.problem or answer.out[-200:] or 'no output'})"
        todo = "is the cluster busy? --wait gives it longer; do launch.setup and Python work there?"
        yield Finding("problem", "node", text, todo)
        return
    yield from _about_node(report, file, began, ended, launch)


def _command(launch: LaunchConfig, file: Path, name: str, wait_s: float) -> list[str]:
    report = [
        "env", f"PYTHONPATH={ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        sys.executable, "-P", "-m", "harness.launch.slurm.node_report", str(file),
    ]  # fmt: skip
    return [
        "srun", "--ntasks=1", f"--job-name={name}", "--time=1", f"--immediate={max(1, int(wait_s))}", "--quiet",
        *_options(launch, launch), "bash", "-c", "\n".join([*launch.setup, shlex.join(report)]),
    ]  # fmt: skip


def _about_node(
    report: dict[str, Any], file: Path, began: float, ended: float, launch: LaunchConfig
) -> Iterator[Finding]:
    node = str(report["node"])
    yield Finding("ok", "node", f"{node} starts this Python")
    if report["content"] == file.name:
        yield Finding("ok", "shared folder", f"{node} sees {file.parent}")
    else:
        todo = "give a folder that all nodes share with --runs"
        yield Finding("problem", "shared folder", f"{node} does not see {file.parent} ({report['content']})", todo)
    if report["missing"]:
        text = f"{node} lacks {', '.join(report['missing'])}"
        yield Finding("problem", "node packages", text, "use one environment on a shared folder, or launch.setup")
    skew = max(began - report["time"], report["time"] - ended, 0.0)
    text = f"{node} is off by {'less than 1' if skew < 1 else f'{skew:.0f}'} s"
    if skew < MAX_SKEW_SECONDS:
        yield Finding("ok", "clock", text)
    else:
        yield Finding("note", "clock", text, "nothing depends on it; times in logs will differ")
    if report["cpus"] < report["cpus_asked"]:
        text = f"{node} binds a job of {report['cpus_asked']} CPUs to {report['cpus']}"
        yield Finding("problem", "node CPUs", text, "submit from outside of a job; check TaskPlugin and SLURM_CPU_BIND")
    if launch.gpus and not report["gpus"]:
        yield Finding(
            "problem", "node GPUs", f"{node} was given none of {launch.gpus}", "check launch.partition and launch.gpus"
        )
