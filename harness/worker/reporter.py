"""Keeps the status file of a trial up to date while its worker lives."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from harness.store import Lease, TrialFolder, TrialStatus

if TYPE_CHECKING:
    from harness.train.checkpoint import Progress

Stage = Literal["train", "measure"]
HEARTBEAT_SECONDS = 0.5
NODE_VARIABLE = "HARNESS_NODE"  # set by a launcher that has its own name for the machine


class LeaseLost(Exception):
    """Another worker took over the trial while this one was silent; this one must not write any more."""


class Reporter:
    """Writes the status file of a trial; the only writer while the worker lives."""

    def __init__(self, folder: TrialFolder, stage: Stage, lease: Lease):
        self.folder = folder
        self.lease = lease
        before = folder.written_status()
        host = socket.gethostname()
        self.status = TrialStatus(
            status="running",
            stage=stage,
            num_starts=before.num_starts + 1,
            pid=os.getpid(),
            host=host,
            node=os.environ.get(NODE_VARIABLE, host),
            job=before.job,
        )
        if stage == "measure":
            self.status.step, self.status.num_steps, self.status.loss = before.step, before.num_steps, before.loss
        self._written = 0.0
        self._notes: list[str] = []
        self.alive: Callable[[str], None] = lambda unit: None
        """Takes signs of life: a unit of work is done, such as a step, an evaluation batch, a clip."""
        status = self.status
        folder.note_attempt(stage=stage, host=host, node=status.node, job=status.job, pid=status.pid, began=time.time())
        self.write()

    def write(self) -> None:
        """Writes the status now. Raises: LeaseLost."""
        self.ensure_ours()
        self.folder.write_status(self.status)
        self._written = time.monotonic()

    def ensure_ours(self) -> None:
        """Raises: LeaseLost where another worker has the trial now."""
        if not self.lease.is_ours():
            raise LeaseLost(f"{self.folder.path}: another worker took over the trial; this one ends without writing")

    def on_progress(self, progress: Progress) -> None:
        """Notes the training step, at most twice a second."""
        self.status.step = progress.step
        self.status.loss = progress.loss_curve[-1][1] if progress.loss_curve else None
        if time.monotonic() - self._written > HEARTBEAT_SECONDS:
            self.write()

    def note(self, message: str) -> None:
        """Prints a message to the log and keeps it in the status until the end of this worker."""
        print(message, flush=True)
        self._notes.append(message)
        self.status.message = "; ".join(self._notes)
        self.write()

    def end(self, status: str, message: str = "", *, by_another: bool = False) -> None:
        """Writes the final status of this worker. `by_another`: another worker had completed its stage."""
        self.status.status = status
        self.status.message = "; ".join([*([message] if message else []), *self._notes])
        if status == "done":
            self.status.record_stamp = self.folder.record_stamp()
        self.write()
        self.folder.note_attempt(ended=status, by_another=by_another, at=time.time())
