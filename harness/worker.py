"""One trial in its own process: trains, evaluates, counts, and writes the record; in a second stage, measures time.

Started by every launcher as `python -m harness worker FOLDER --stage train|measure`. Nothing but the folder is
handed over. The exit code tells the launcher whether to look at the trial again: see the constants.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import UserError
from harness.store import TrialFolder, TrialStatus, exclusive_lock

if TYPE_CHECKING:
    from harness.data import ClipSource
    from harness.model.trunk import VideoTransformer
    from harness.record import Costs, Record
    from harness.sweep.schema import TrialConfig
    from harness.train.checkpoint import Progress

EXIT_DONE = 0
EXIT_FAILED = 1  # the status says how
EXIT_LOCKED = 75  # another worker has the trial
EXIT_PREEMPTED = 85  # stopped on request after a checkpoint; start again
Stage = Literal["train", "measure"]
HEARTBEAT_SECONDS = 0.5
MAX_CURVE_POINTS = 500


class StopRequest:
    """Set by SIGTERM, SIGINT or SIGUSR2; the training loop looks at it after every step."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True

    def __call__(self) -> bool:
        return self.requested


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


def end_with_parent(parent: int) -> None:
    """Asks the kernel for a SIGTERM when the launcher dies, so that no worker outlives it unseen (Linux)."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), signal.SIGTERM)


def run(path: Path, stage: Stage, *, alone: bool = False, parent: int | None = None) -> int:
    """Runs one stage of a trial; returns the exit code. `alone`: the launcher keeps the machine quiet meanwhile."""
    stop = StopRequest()  # before torch is imported: a signal in those seconds must not kill the worker
    if parent is not None:
        end_with_parent(parent)
    folder = TrialFolder(path)
    with exclusive_lock(folder.lock_file) as got:
        if not got:
            print(f"{path}: another worker has this trial", file=sys.stderr)
            return EXIT_LOCKED
        for stale in folder.stale_files():
            stale.unlink(missing_ok=True)
        reporter = Reporter(folder, stage)
        try:
            return _train(folder, reporter, stop) if stage == "train" else _measure(folder, reporter, alone)
        except BaseException as error:  # the boundary of the process: whatever happens becomes the trial's status
            traceback.print_exc()
            from harness.measure.outcome import verdict

            reporter.end(*verdict(error))
            return EXIT_FAILED


def _config(folder: TrialFolder) -> tuple[TrialConfig, dict[str, Any]]:
    """The trial's configuration, and what the launcher adds that cannot change a result."""
    from pydantic import ValidationError

    from harness.sweep.schema import TrialConfig

    content = folder.config()
    try:
        return TrialConfig(**content["trial"]), content["launch"]
    except (KeyError, TypeError, ValidationError) as error:
        raise UserError(f"{folder.config_file}: not a trial's configuration: {error}") from error


def _variant_dirs(launch: dict[str, Any]) -> list[Path]:
    """Folders with variant files beside our own."""
    return [Path(folder) for folder in launch["variant_dirs"]]


def _build(trial: TrialConfig, launch: dict[str, Any]) -> tuple[VideoTransformer, dict[str, ClipSource]]:
    """The model, initialised from the seed and then from a file of weights if there is one, and the three splits."""
    import torch

    from harness.data import SPLITS, data_identity, open_split
    from harness.measure.memory import limit_memory
    from harness.model.trunk import VideoTransformer

    if launch.get("memory_limit_mib"):
        limit_memory(launch["memory_limit_mib"] * 2**20)
    torch.set_num_threads(trial.train.num_threads)
    if trial.train.device == "cuda":  # the CPU's operators repeat their bits for a fixed number of threads as it is
        torch.use_deterministic_algorithms(True, warn_only=True)
    if data_identity(trial.data) != launch["data_identity"]:
        raise UserError("the data changed since the sweep was planned; run the sweep command again: it plans anew")
    sources = {split: open_split(trial.data, trial.model, split, trial.seed) for split in SPLITS}
    torch.manual_seed(trial.seed)
    model = VideoTransformer.of(trial, sources["train"].labels, _variant_dirs(launch))
    if trial.weights is not None:
        from harness.model.weights.apply import import_weights

        print(import_weights(model, trial.model, trial.weights).text(), flush=True)
    if trial.train.activation_checkpointing:
        model.checkpoint_activations()
    return model.to(trial.train.device), sources  # type: ignore[return-value]


def _train(folder: TrialFolder, reporter: Reporter, stop: StopRequest) -> int:
    """Trains, evaluates and writes the record without timings."""
    from harness.measure.planned import planned_costs
    from harness.train.evaluate import evaluate
    from harness.train.loop import Interrupted, train

    if folder.record() is not None:
        reporter.end("queued", "trained; to be measured")
        return EXIT_DONE
    trial, launch = _config(folder)
    reporter.status.num_steps = trial.train.num_steps
    model, sources = _build(trial, launch)
    try:
        progress = train(
            model, sources["train"], trial.train, trial.seed, folder.checkpoint_file,
            launch["checkpoint_every_steps"], reporter.on_progress, stop,
        )  # fmt: skip
    except Interrupted:
        reporter.end("preempted", f"stopped on request at step {reporter.status.step}")
        return EXIT_PREEMPTED
    scores = {split: evaluate(model, sources[split], trial.train) for split in ("val", "test")}
    costs = planned_costs(trial.model_dump(), _variant_dirs(launch), backward=True, memory=True)
    folder.write_record(_record(folder.trial_id, trial, launch, progress, scores, costs))
    reporter.end("queued", "trained; to be measured")
    return EXIT_DONE


def _record(
    trial_id: str, trial: TrialConfig, launch: dict[str, Any], progress: Progress, scores: Any, costs: Costs
) -> Record:
    from harness.data import ceilings
    from harness.measure.environment import environment
    from harness.record import Record, Training

    curve = progress.loss_curve
    thinned = curve[:: -(-len(curve) // MAX_CURVE_POINTS)] if curve else []
    return Record(
        trial_id=trial_id,
        config=trial.model_dump(),
        seed=trial.seed,
        data_identity=launch["data_identity"],
        scores=scores,
        ceilings=ceilings(trial.data),
        training=Training(
            num_steps=progress.step,
            final_loss=curve[-1][1] if curve else None,
            loss_curve=thinned,
            duration_s=progress.duration_s,
            num_resumes=progress.num_resumes,
        ),
        costs=costs,
        environment=environment(trial.train.device),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _measure(folder: TrialFolder, reporter: Reporter, alone: bool) -> int:
    """Adds memory and timings to the record of a trained trial."""
    from harness.measure.costs import measure_memory, measure_timings
    from harness.measure.environment import environment

    record = folder.record()
    if record is None:
        raise UserError(f"{folder.path}: nothing to measure, the trial has no record yet")
    trial, launch = _config(folder)
    model, sources = _build(trial, launch)
    record.costs.environment = environment(trial.train.device)
    record.costs.memory = measure_memory(model, trial, sources["train"].labels)
    record.costs.timings = measure_timings(model, trial, sources["train"].labels, alone=alone)
    folder.write_record(record)
    reporter.end("done")
    return EXIT_DONE
