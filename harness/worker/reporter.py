"""What a worker says of itself while it lives: the trial's status file."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Literal

from harness.store import TrialFolder, TrialStatus

if TYPE_CHECKING:
    from harness.train.checkpoint import Progress

Stage = Literal["train", "measure"]
HEARTBEAT_SECONDS = 0.5


class Reporter:
    """Keeps the trial's status file fresh; the only writer of it while the worker lives."""

    def __init__(self, folder: TrialFolder, stage: Stage):
        self.folder = folder
        self.status = folder.written_status()
        self.status = TrialStatus(
            status="running",
            stage=stage,
            num_starts=self.status.num_starts + 1,
            pid=os.getpid(),
            host=socket.gethostname(),
        )
        self._written = 0.0
        self.write()

    def write(self) -> None:
        """Writes the status now."""
        self.folder.write_status(self.status)
        self._written = time.monotonic()

    def on_progress(self, progress: Progress) -> None:
        """Notes the training step, at most twice a second."""
        self.status.step = progress.step
        self.status.loss = progress.loss_curve[-1][1] if progress.loss_curve else None
        if time.monotonic() - self._written > HEARTBEAT_SECONDS:
            self.write()

    def end(self, status: str, message: str = "") -> None:
        """Writes the last status of this worker."""
        self.status.status, self.status.message = status, message
        self.write()
