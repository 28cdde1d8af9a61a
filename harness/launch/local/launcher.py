"""`Local`: the launcher that runs trials in the sweep command itself, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from harness.launch.base import Launcher, LaunchRequest
from harness.launch.doctor import Finding, check_machine
from harness.launch.source import Source
from harness.launch.tasks import Todo, prepare
from harness.sweep.launch.config import LaunchConfig


class Local(Launcher):
    """Runs trials in a pool of worker processes; they end with the command."""

    name, title = "local", "local"

    def run(self, request: LaunchRequest, todo: Todo) -> bool:
        """Trains and measures the open tasks."""
        from harness.launch.display.progress import watch
        from harness.launch.local.pool import LocalPool

        refused: dict[str, OSError] = {}
        prepare(todo, request.plan, request.code, refused)
        for trial_id, error in refused.items():
            print(f"{trial_id}: its folder cannot be written: {error}", file=sys.stderr)
        todo.tasks[:] = [task for task in todo.tasks if task.trial.trial_id not in refused]
        if not todo.tasks:
            return True
        with watch(todo) as watcher:
            pool = LocalPool(request.plan.launch, watcher, request.num_workers, request.code.path)
            return pool.run(todo.tasks, request.time_budget_s)

    def search(self, request: LaunchRequest, source: Source) -> bool:
        """Runs the tasks of a search as they come."""
        from harness.launch.display.progress import SearchLines
        from harness.launch.local.pool import LocalPool

        pool = LocalPool(request.plan.launch, SearchLines(), request.num_workers, request.code.path)
        return pool.feed(source, request.time_budget_s)

    def doctor(self, launch: LaunchConfig, runs: Path, wait_s: float) -> Iterator[Finding]:
        """Checks Python, packages, cores, GPUs and the folder of runs."""
        return check_machine(runs)
