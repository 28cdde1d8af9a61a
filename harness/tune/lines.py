"""What a search shows while it runs: a line now and then on what is running; what came out the controller tells."""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness.launch.local import Running
from harness.launch.progress import LINE_EVERY_SECONDS
from harness.launch.tasks import Task
from harness.store import TrialStatus


class Lines:
    """A watcher for logs, pipes and terminals."""

    def __init__(self) -> None:
        self.last_line = time.monotonic()

    def started(self, task: Task) -> None: ...

    def ended(self, task: Task, status: TrialStatus) -> None: ...

    def tick(self, running: Sequence[Running], waiting: Sequence[Task]) -> None:
        if time.monotonic() - self.last_line > LINE_EVERY_SECONDS:
            self.last_line = time.monotonic()
            print(f"running   {', '.join(_where(item.task) for item in running)}", flush=True)


def _where(task: Task) -> str:
    status = task.folder.written_status()
    step = f" step {status.step}/{status.num_steps}" if task.stage == "train" else " timing"
    return f"{task.trial.label}{step}"
