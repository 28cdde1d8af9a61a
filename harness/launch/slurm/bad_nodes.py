"""Nodes on which jobs fail repeatedly, found from the marks that jobs leave."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from harness.launch.base import Log
from harness.launch.slurm import client
from harness.launch.slurm.logs import ends, job_folder, job_log_tail, starts
from harness.launch.slurm.resources import JobArray
from harness.launch.slurm.submission import Submission, every
from harness.store import Store
from harness.sweep.launch.config import LaunchConfig

MIN_FAILURES = 2
MAX_AGE_SECONDS = 24 * 3600.0  # a node that failed a day ago may have been repaired
NO_PICKLE = "could not find submitted jobs"  # submitit's message where the submitter died: not the node's fault
UNUSABLE = ("down", "drain", "fail", "maint", "power", "unk")


def failing_nodes(store: Store, live: Collection[str], code: str, setup: Sequence[str]) -> list[str]:
    """Returns the nodes where at least two recent attempts failed or never started Python, and none succeeded.

    Only attempts with the present code and setup lines count: others may have caused the failure themselves. Where
    attempts failed on several nodes and succeeded on none, the nodes are not the cause, and none is returned.
    `live`: jobs (TOKEN/INDEX) that SLURM still has; their last attempt has not ended.
    """
    failed: Counter[str] = Counter()
    good: set[str] = set()
    for found in every(store):
        if found.code == code and found.setup == list(setup):
            for node, succeeded in _attempts(store, found, live):
                if succeeded:
                    good.add(node)
                else:
                    failed[node] += 1
    failing = sorted(node for node, number in failed.items() if node and number >= MIN_FAILURES and node not in good)
    return failing if good or len(failed) == 1 else []


def _attempts(store: Store, found: Submission, live: Collection[str]) -> Iterator[tuple[str, bool]]:
    """Yields (node, whether the harness ran to its end) for the ended attempts of a submission that can be blamed on
    their node."""
    for job in map(found.job, range(len(found.trials))):
        begun, ended = starts(store, job), ends(store, job)
        for restart, (node, _) in begun.items():
            if ended.get(restart, "").startswith("job"):
                yield node, True
            elif (job not in live or restart < max(begun)) and _counts(store, found.token, job, restart):
                yield node, False


def _counts(store: Store, token: str, job: str, restart: int) -> bool:
    """Returns whether a failed attempt is recent, and did not fail because its submitter was killed."""
    mark = job_folder(store, token) / "started" / job.partition("/")[2] / str(restart)
    try:
        is_young = time.time() - mark.stat().st_mtime < MAX_AGE_SECONDS
    except OSError:
        return False
    return is_young and not any(NO_PICKLE in line for line in job_log_tail(store, job, 20))


def nodes_to_avoid(
    launch: LaunchConfig, store: Store, made: Sequence[JobArray], live: Collection[str], code: Path, log: Log
) -> dict[str | None, list[str]]:
    """Returns, for each partition, the nodes to exclude since every job died there."""
    failing = failing_nodes(store, live, str(code), launch.setup)
    partitions = {array.resources.partition for array in made}
    avoided = {partition: excludable(failing, partition, launch.exclude) for partition in partitions}
    if any(avoided.values()):
        log(f"not on {', '.join(failing)}: every job there died ({store.path / 'jobs'} says when)")
    return avoided


def excludable(nodes: Sequence[str], partition: str | None, excluded: str | None) -> list[str]:
    """Returns the nodes, or none of them where excluding all would leave no usable node.

    `excluded`: nodes in SLURM's notation that the user already excludes.
    """
    usable = _usable(partition or os.environ.get("SBATCH_PARTITION"))
    if not nodes or not usable:  # SLURM does not say
        return list(nodes)
    out = set(nodes)
    if excluded:
        answer = client.ask("scontrol", "show", "hostnames", excluded)
        out |= set(excluded.split(",") if answer.problem else answer.out.split())
    return list(nodes) if usable - out else []


def _usable(partition: str | None) -> set[str]:
    """Returns the nodes of a partition (default: the default one) that accept jobs."""
    options = [f"--partition={partition}"] if partition else []
    answer = client.ask("sinfo", "--noheader", "--Node", "--format=%N|%P|%T", *options)
    lines = [line.split("|") for line in answer.out.splitlines() if line.count("|") == 2]
    default = [line for line in lines if line[1].endswith("*")]
    chosen = lines if partition else default or lines
    return {name for name, _, state in chosen if not state.startswith(UNUSABLE)}
