"""The files of a run: a folder with one folder for each trial. There is no other state.

Every file has one writer at a time and is written aside and renamed, so a reader sees the old or the new content
and never a part. The worker of a trial holds the trial's lock for as long as it lives; the kernel releases it
however the worker ends, so "running" without a lock means that the worker is gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness.errors import UserError
from harness.record import SCHEMA_VERSION, STATUSES, PlanFile, Record


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yields a place beside `path` to write to; at the end it is flushed to disk and renamed to `path`.

    After an exception (disk full, read-only) what was written is gone and the old file is whole.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces a file at once, see `written_aside`. Raises: OSError, leaving the old file whole."""
    with written_aside(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[bool]:
    """Yields whether this process got the lock of that file; the kernel releases it when the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@dataclass
class TrialStatus:
    """Content of `status.json`: where a trial stands, and the numbers that progress displays need."""

    status: str = "pending"
    message: str = ""
    stage: str = ""
    step: int = 0
    num_steps: int = 0
    loss: float | None = None
    num_starts: int = 0
    pid: int | None = None
    host: str = ""
    updated_at: float = field(default_factory=time.time)


class TrialFolder:
    """One trial's folder: `config.yaml`, `status.json`, `record.json`, `log.txt`, `checkpoint.safetensors`."""

    def __init__(self, path: Path):
        self.path = path
        self.trial_id = path.name
        self.config_file = path / "config.yaml"
        self.status_file = path / "status.json"
        self.record_file = path / "record.json"
        self.log_file = path / "log.txt"
        self.checkpoint_file = path / "checkpoint.safetensors"
        self.lock_file = path / ".lock"

    def create(self, config: dict[str, Any]) -> None:
        """Makes the folder with its resolved configuration; what is there already stays."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        if not self.config_file.exists() or self.config_file.read_text(encoding="utf-8") != text:
            write_atomically(self.config_file, text)

    def config(self) -> dict[str, Any]:
        """The resolved configuration. Raises: UserError for a file that is missing or no mapping."""
        try:
            config = yaml.safe_load(self.config_file.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{self.config_file}: {error}. Run the sweep command again: it writes the file.") from error
        if not isinstance(config, dict):
            raise UserError(f"{self.config_file}: not a mapping. Run the sweep command again: it writes the file.")
        return config

    def written_status(self) -> TrialStatus:
        """What `status.json` says; a missing or damaged file counts as pending, since the truth is the record."""
        try:
            content = json.loads(self.status_file.read_text(encoding="utf-8"))
            known = {item.name for item in fields(TrialStatus)}
            status = TrialStatus(**{key: value for key, value in content.items() if key in known})
        except (OSError, ValueError, AttributeError, TypeError):
            return TrialStatus()
        return status if status.status in STATUSES else TrialStatus()

    def status(self) -> TrialStatus:
        """Where the trial stands: like `written_status`, but a running trial whose worker is gone is lost."""
        status = self.written_status()
        if status.status == "running" and not self.is_locked():
            status = self.written_status()  # it may have ended between the two looks
            if status.status == "running":
                status.status, status.message = "lost", f"its worker is gone (stage {status.stage}, step {status.step})"
        return status

    def write_status(self, status: TrialStatus) -> None:
        """Replaces `status.json`."""
        status.updated_at = time.time()
        write_atomically(self.status_file, json.dumps(asdict(status)))

    def is_locked(self) -> bool:
        """True while a worker of this trial lives."""
        if not self.lock_file.exists():
            return False
        with exclusive_lock(self.lock_file) as got:
            return not got

    def record(self) -> Record | None:
        """The record, or None if there is none. Raises: UserError for one that is damaged or newer than this code."""
        try:
            text = self.record_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            version = json.loads(text).get("schema_version")
            if version != SCHEMA_VERSION:
                raise UserError(f"{self.record_file}: schema version {version}, this code reads {SCHEMA_VERSION}.")
            return Record.model_validate_json(text)
        except (ValidationError, ValueError, AttributeError) as error:
            raise UserError(
                f"{self.record_file}: damaged ({str(error).splitlines()[0]}). "
                f"Delete the file and run the sweep again: only this trial is repeated."
            ) from error

    def write_record(self, record: Record) -> None:
        """Replaces `record.json`."""
        write_atomically(self.record_file, record.model_dump_json(indent=1))

    def log_tail(self, num_lines: int = 5) -> list[str]:
        """Last lines of the log, for messages."""
        try:
            text = self.log_file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [line for line in text.splitlines() if line.strip()][-num_lines:]

    def requeue(self, *, from_scratch: bool = False) -> None:
        """Back to pending; the checkpoint is kept to go on from, unless `from_scratch`. A record is always kept."""
        if from_scratch:
            self.checkpoint_file.unlink(missing_ok=True)
        self.write_status(TrialStatus(num_starts=self.written_status().num_starts))

    def stale_files(self) -> list[Path]:
        """Files that a killed writer left beside the real ones; only meaningful while nobody writes."""
        return sorted(self.path.glob(".*.tmp"))


class Store:
    """A run's folder: `plan.json`, `trials/`, `report/`."""

    def __init__(self, path: Path):
        self.path = path
        self.plan_file = path / "plan.json"
        self.trials_folder = path / "trials"
        self.lock_file = path / ".lock"

    def trial(self, trial_id: str) -> TrialFolder:
        """The folder of a trial, which need not exist yet."""
        return TrialFolder(self.trials_folder / trial_id)

    def trials(self) -> list[TrialFolder]:
        """All trials that have a folder, by id."""
        if not self.trials_folder.is_dir():
            return []
        return [TrialFolder(path) for path in sorted(self.trials_folder.iterdir()) if path.is_dir()]

    def write_plan(self, plan: PlanFile) -> None:
        """Replaces `plan.json`."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = plan.model_dump_json(indent=1)
        if not self.plan_file.exists() or self.plan_file.read_text(encoding="utf-8") != text:
            write_atomically(self.plan_file, text)

    def plan(self) -> PlanFile:
        """The plan of the run. Raises: UserError where there is none, or a damaged one."""
        try:
            return PlanFile.model_validate_json(self.plan_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(
                f"{self.path}: no run is there (no plan.json). Give the folder of a run, e.g. runs/window_size."
            ) from None
        except NotADirectoryError:
            raise UserError(f"{self.path}: is a file. Give the folder of a run, e.g. runs/{self.path.stem}.") from None
        except (ValidationError, UnicodeDecodeError) as error:
            raise UserError(f"{self.plan_file}: damaged. Run the sweep command again: it writes the file.") from error
