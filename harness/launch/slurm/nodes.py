"""Nodes on which jobs keep dying, from the marks that jobs leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from harness.launch.slurm import client
from harness.launch.slurm.logs import ends, starts
from harness.launch.slurm.submission import every
from harness.store import Store

MIN_FAILURES = 2


def failing_nodes(store: Store, live: Collection[str]) -> list[str]:
    """Nodes where at least two attempts died or never reached our code, and none came through.

    `live`: jobs (TOKEN/INDEX) that SLURM still has; their last attempt is not over yet.
    """
    died: Counter[str] = Counter()
    good: set[str] = set()
    for submission in every(store):
        for job in map(submission.job, range(len(submission.trials))):
            begun, ended = starts(store, job), ends(store, job)
            for restart, (node, _) in begun.items():
                if ended.get(restart, "").startswith("job"):
                    good.add(node)
                elif job not in live or restart < max(begun):
                    died[node] += 1
    return sorted(node for node, number in died.items() if node and number >= MIN_FAILURES and node not in good)


def excludable(nodes: list[str]) -> list[str]:
    """The same, or none where that would leave no node at all: then the fault is not the nodes'."""
    known = client.ask("sinfo", "--noheader", "--Node", "--format=%N").out.split()
    return [] if known and set(known) <= set(nodes) else nodes
