"""Nodes on which jobs keep dying, from the marks that jobs leave."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from harness.launch.slurm import client
from harness.launch.slurm.logs import ends, job_folder, job_log_tail, starts
from harness.launch.slurm.submission import Submission, every
from harness.store import Store

MIN_FAILURES = 2
MAX_AGE_SECONDS = 24 * 3600.0  # what was wrong with a node a day ago may have been mended
NO_PICKLE = "could not find submitted jobs"  # submitit's words, where the submitter died: no node's fault
UNUSABLE = ("down", "drain", "fail", "maint", "power", "unk")


def failing_nodes(store: Store, live: Collection[str], code: str, setup: Sequence[str]) -> list[str]:
    """Nodes where at least two attempts died or never reached our code lately, and none came through.

    Attempts of the same code and setup lines as now alone count: with others the fault may have been theirs. So it
    may be where all attempts on several nodes died: then no node is named.
    `live`: jobs (TOKEN/INDEX) that SLURM still has; their last attempt is not over yet.
    """
    died: Counter[str] = Counter()
    good: set[str] = set()
    for found in every(store):
        if found.code == code and found.setup == list(setup):
            for node, came_through in _attempts(store, found, live):
                if came_through:
                    good.add(node)
                else:
                    died[node] += 1
    failing = sorted(node for node, number in died.items() if node and number >= MIN_FAILURES and node not in good)
    return failing if good or len(died) == 1 else []


def _attempts(store: Store, found: Submission, live: Collection[str]) -> Iterator[tuple[str, bool]]:
    """(node, whether our code came to its end) of the attempts of a submission's jobs that are over and say something
    of their node."""
    for job in map(found.job, range(len(found.trials))):
        begun, ended = starts(store, job), ends(store, job)
        for restart, (node, _) in begun.items():
            if ended.get(restart, "").startswith("job"):
                yield node, True
            elif (job not in live or restart < max(begun)) and _counts(store, found.token, job, restart):
                yield node, False


def _counts(store: Store, token: str, job: str, restart: int) -> bool:
    """Whether an attempt that died is young, and died of something else than its submitter's death."""
    mark = job_folder(store, token) / "started" / job.partition("/")[2] / str(restart)
    try:
        is_young = time.time() - mark.stat().st_mtime < MAX_AGE_SECONDS
    except OSError:
        return False
    return is_young and not any(NO_PICKLE in line for line in job_log_tail(store, job, 20))


def excludable(nodes: Sequence[str], partition: str | None, excluded: str | None) -> list[str]:
    """The same, or none where that would leave no node that can be used: then the fault is not the nodes'.

    `excluded`: a list of nodes in SLURM's form that the user leaves out already.
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
    """The nodes of a partition (default: the default one) that take jobs."""
    options = [f"--partition={partition}"] if partition else []
    answer = client.ask("sinfo", "--noheader", "--Node", "--format=%N|%P|%T", *options)
    lines = [line.split("|") for line in answer.out.splitlines() if line.count("|") == 2]
    default = [line for line in lines if line[1].endswith("*")]
    chosen = lines if partition else default or lines
    return {name for name, _, state in chosen if not state.startswith(UNUSABLE)}
