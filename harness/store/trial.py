"""One trial's folder and the files in it."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError
from harness.record import SCHEMA_VERSION, Record
from harness.store.files import is_locked, write_atomically
from harness.store.holders import Holder, holder_of
from harness.store.lease import Lease, last_beat
from harness.store.load import RECORD_FILE, damage_of, read_record
from harness.store.sealed.models import DamagedFileError, sealed_text
from harness.store.sealed.reading import MIB, DamagedError, read_bytes
from harness.store.status import TrialStatus, read_status, status_text
from harness.store.trash import Trash
from harness.text.log_files import tail_lines

# libyaml where PyYAML was built with it: ten times faster, and a sweep may have thousands of trials
SafeDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_CONFIG_BYTES = 16 * MIB


def previous_checkpoint(file: Path) -> Path:
    """Return the file that keeps the checkpoint before the one in `file`."""
    return file.with_name(f"{file.stem}.previous{file.suffix}")


def _file(name: str) -> cached_property[Path]:
    """Return an attribute for the path of a file, made when it is used: a run may have thousands of folders."""
    return cached_property(lambda folder: folder.path / name)


class TrialFolder:
    """One trial's folder.

    It holds `config.yaml`, `status.json`, `record.json`, `log.txt`, `checkpoint.safetensors` (and the one before it),
    and `attempts.jsonl` with one line for the start and one for the end of each worker.
    """

    config_file = _file("config.yaml")
    status_file = _file("status.json")
    record_file = _file(RECORD_FILE)
    log_file = _file("log.txt")
    checkpoint_file = _file("checkpoint.safetensors")
    attempts_file = _file("attempts.jsonl")
    lock_file = _file(".lock")
    beat_file = _file(".beat")

    def __init__(self, path: Path):
        self.path = path
        self.trial_id = path.name

    @property
    def checkpoint_files(self) -> tuple[Path, Path]:
        """Return the newest checkpoint and the one before it, which need not exist."""
        return self.checkpoint_file, previous_checkpoint(self.checkpoint_file)

    def create(self, config: dict[str, Any]) -> None:
        """Create the folder with its resolved configuration; files that exist stay."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = yaml.dump(config, Dumper=SafeDumper, sort_keys=False, allow_unicode=True)
        if not self.config_file.exists() or self.config_file.read_bytes() != text.encode():
            write_atomically(self.config_file, text)

    def config(self) -> dict[str, Any]:
        """Read the resolved configuration. Raises: UserError for a file that is missing or no mapping."""
        try:
            config = yaml.load(read_bytes(self.config_file, MAX_CONFIG_BYTES).decode(), Loader=SafeLoader)
        except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
            raise UserError(f"{self.config_file}: {error}. Run the sweep command again: it writes the file.") from error
        if not isinstance(config, dict):
            raise UserError(f"{self.config_file}: not a mapping. Run the sweep command again: it writes the file.")
        return config

    def written_status(self) -> TrialStatus:
        """Read `status.json`; a missing or damaged file counts as pending, since the record is authoritative."""
        return read_status(self.status_file)

    def status(self) -> TrialStatus:
        """Return the status: that of `status.json`, but a running trial whose worker is gone is lost."""
        status = self.written_status()
        if status.status == "running" and not self.is_held():
            status = self.written_status()  # it may have ended between the two reads
            if status.status == "running":
                status.status, status.message = "lost", f"its worker is gone (stage {status.stage}, step {status.step})"
        elif status.status == "running" and (holder := self._leftover(status)) is not None:
            status.status = "lost"
            status.message = f"its worker is gone, and its lock is held by {holder}: end that process"
        return status

    def _leftover(self, status: TrialStatus) -> Holder | None:
        """Return the process that keeps the lock of a worker that has ended on this machine."""
        beat = last_beat(self.beat_file)
        if status.pid is None or (beat is not None and beat.is_elsewhere) or Path(f"/proc/{status.pid}").exists():
            return None
        return holder_of(self.lock_file)

    def write_status(self, status: TrialStatus) -> None:
        """Replace `status.json`."""
        write_atomically(self.status_file, status_text(status))

    def lease(self) -> Lease:
        """Return the lease of this trial."""
        return Lease(self.lock_file, self.beat_file)

    def is_held(self) -> bool:
        """Return whether a worker of this trial is alive, here or (by its heartbeat) on another machine."""
        if is_locked(self.lock_file):
            return True
        beat = last_beat(self.beat_file)
        return beat is not None and beat.is_elsewhere and beat.is_fresh

    def record(self) -> Record | None:
        """Read the record; None if there is none. Raises: UserError for a damaged one or one of a newer version."""
        return read_record(self.path)

    def sound_record(self) -> Record | None:
        """Read the record; None if there is none that can be used. Raises: UserError for one of a newer version."""
        try:
            return self.record()
        except DamagedFileError:
            return None

    def write_record(self, record: Record) -> None:
        """Replace `record.json`, in the schema version of this program."""
        current = record.model_copy(update={"schema_version": SCHEMA_VERSION})
        write_atomically(self.record_file, sealed_text(current))

    def record_stamp(self) -> str:
        """Return size and time of the record file, "" if there is none: an id for `TrialStatus.record_stamp`."""
        try:
            found = self.record_file.stat()
        except OSError:
            return ""
        return f"{found.st_size}:{found.st_mtime_ns}"

    def set_record_aside(self, why: str) -> None:
        """Move the record and the checkpoints to the trash, so that the trial is pending again."""
        for file in (self.record_file, *self.checkpoint_files):
            Trash.of_trial(self.path).take(file, why)

    def note_attempt(self, **what: Any) -> None:
        """Append a line to `attempts.jsonl`."""
        with open(self.attempts_file, "a+b") as file:
            if file.tell() and (file.seek(-1, 2), file.read(1))[1] != b"\n":
                file.write(b"\n")  # a worker died, or the disk was full, while it wrote a line
            file.write(json.dumps(what).encode() + b"\n")

    def attempts(self) -> list[dict[str, Any]]:
        """Return all workers that ever started, oldest first; `ended` is the status at their end, None if killed.

        Incomplete lines of killed workers are skipped.
        """
        found: list[dict[str, Any]] = []
        for line in _lines(self.attempts_file):
            try:
                content = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if not isinstance(content, dict) or not isinstance(content.get("job", ""), str):
                continue
            if "ended" in content and found:
                found[-1] |= content
            elif "stage" in content:
                found.append({"ended": None, **content})
        return found

    def log_tail(self, num_lines: int = 5) -> list[str]:
        """Return the last lines of the log, clean and bounded, for messages."""
        return tail_lines(self.log_file, num_lines)

    def requeue(self, *, from_scratch: bool = False) -> None:
        """Set the status to pending. A damaged record moves to the trash, and with `from_scratch` the checkpoints.

        A sound record is always kept. Raises: UserError for a record that cannot be read now.
        """
        trash = Trash.of_trial(self.path)
        try:
            self.record()
        except DamagedFileError as error:
            trash.take(self.record_file, damage_of(error))
        for file in self.checkpoint_files if from_scratch else ():
            trash.take(file, "trained again from scratch")
        self.write_status(TrialStatus(num_starts=self.written_status().num_starts))

    def stale_files(self) -> list[Path]:
        """Return temporary files of killed writers; only meaningful while no process writes."""
        with os.scandir(self.path) as found:
            return sorted(Path(item.path) for item in found if item.name.startswith(".") and item.name.endswith(".tmp"))


def _lines(path: Path) -> list[str]:
    try:
        return read_bytes(path, MAX_CONFIG_BYTES).decode(errors="replace").splitlines()
    except (FileNotFoundError, DamagedError):
        return []
