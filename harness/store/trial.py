"""One trial's folder and the status file in it."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any

import yaml

from harness.errors import UserError
from harness.record import SCHEMA_VERSION, STATUSES, Record
from harness.store.files import is_locked, write_atomically
from harness.store.lease import Lease, last_beat
from harness.store.load import RECORD_FILE, read_record
from harness.text.clean import bounded, one_line
from harness.text.log_files import tail_lines

# libyaml where PyYAML was built with it: ten times faster, and a sweep may have thousands of trials
SafeDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class TrialStatus:
    """Content of `status.json`: status of a trial and the numbers for progress displays."""

    status: str = "pending"
    message: str = ""
    stage: str = ""
    step: int = 0
    num_steps: int = 0
    loss: float | None = None
    num_starts: int = 0
    pid: int | None = None
    host: str = ""
    node: str = ""  # the launcher's name of the machine
    job: str = ""  # TOKEN/INDEX of the submission that has the trial
    code: str = ""  # identity of the code that made the record
    record_stamp: str = ""  # size and time of the record that this status belongs to
    updated_at: float = field(default_factory=time.time)


_NUMBER = (int, float)
_KINDS_OF = {
    "str": str,
    "int": int,
    "float": _NUMBER,
    "float | None": (*_NUMBER, NoneType),
    "int | None": (int, NoneType),
}
_KINDS: list[tuple[str, Any]] = [(item.name, _KINDS_OF[str(item.type)]) for item in fields(TrialStatus)]


class TrialFolder:
    """One trial's folder.

    It holds `config.yaml`, `status.json`, `record.json`, `log.txt`, `checkpoint.safetensors`, and `attempts.jsonl` with
    one line for the start and one for the end of each worker.
    """

    def __init__(self, path: Path):
        self.path = path
        self.trial_id = path.name
        self.config_file = path / "config.yaml"
        self.status_file = path / "status.json"
        self.record_file = path / RECORD_FILE
        self.log_file = path / "log.txt"
        self.checkpoint_file = path / "checkpoint.safetensors"
        self.attempts_file = path / "attempts.jsonl"
        self.lock_file = path / ".lock"
        self.beat_file = path / ".beat"

    def create(self, config: dict[str, Any]) -> None:
        """Create the folder with its resolved configuration; files that exist stay."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = yaml.dump(config, Dumper=SafeDumper, sort_keys=False, allow_unicode=True)
        if not self.config_file.exists() or self.config_file.read_bytes() != text.encode():
            write_atomically(self.config_file, text)

    def config(self) -> dict[str, Any]:
        """Read the resolved configuration. Raises: UserError for a file that is missing or no mapping."""
        try:
            config = yaml.load(self.config_file.read_text(encoding="utf-8"), Loader=SafeLoader)
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{self.config_file}: {error}. Run the sweep command again: it writes the file.") from error
        if not isinstance(config, dict):
            raise UserError(f"{self.config_file}: not a mapping. Run the sweep command again: it writes the file.")
        return config

    def written_status(self) -> TrialStatus:
        """Read `status.json`; a missing or damaged file counts as pending, since the record is authoritative."""
        try:
            content = json.loads(self.status_file.read_text(encoding="utf-8"))
            known = {item.name for item in fields(TrialStatus)}
            status = TrialStatus(**{key: value for key, value in content.items() if key in known})
        except (OSError, ValueError, AttributeError, TypeError, RecursionError):
            return TrialStatus()
        sound = status.status in STATUSES and all(isinstance(vars(status)[name], kinds) for name, kinds in _KINDS)
        return _clean(status) if sound else TrialStatus()

    def status(self) -> TrialStatus:
        """Return the status: that of `status.json`, but a running trial whose worker is gone is lost."""
        status = self.written_status()
        if status.status == "running" and not self.is_held():
            status = self.written_status()  # it may have ended between the two reads
            if status.status == "running":
                status.status, status.message = "lost", f"its worker is gone (stage {status.stage}, step {status.step})"
        return status

    def write_status(self, status: TrialStatus) -> None:
        """Replace `status.json`. Its texts are cleaned and bounded first: any program may have written a message."""
        _clean(status).updated_at = time.time()
        write_atomically(self.status_file, json.dumps(asdict(status)))

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

    def write_record(self, record: Record) -> None:
        """Replace `record.json`, in the schema version of this program."""
        current = record.model_copy(update={"schema_version": SCHEMA_VERSION})
        write_atomically(self.record_file, current.model_dump_json(indent=1))

    def record_stamp(self) -> str:
        """Return size and time of the record file, "" if there is none: an id for `TrialStatus.record_stamp`."""
        try:
            found = self.record_file.stat()
        except OSError:
            return ""
        return f"{found.st_size}:{found.st_mtime_ns}"

    def set_record_aside(self) -> None:
        """Rename the record to `record.old-N.json` and remove the checkpoint, so that the trial is pending again."""
        for number in itertools.count(1):
            aside = self.path / f"record.old-{number}.json"
            if not aside.exists():
                break
        self.record_file.rename(aside)
        self.checkpoint_file.unlink(missing_ok=True)

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
            if not isinstance(content, dict):
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
        """Set the status to pending. The checkpoint is kept unless `from_scratch`; a record is always kept."""
        if from_scratch:
            self.checkpoint_file.unlink(missing_ok=True)
        self.write_status(TrialStatus(num_starts=self.written_status().num_starts))

    def stale_files(self) -> list[Path]:
        """Return temporary files of killed writers; only meaningful while no process writes."""
        return sorted(self.path.glob(".*.tmp"))


def _clean(status: TrialStatus) -> TrialStatus:
    """Clean and bound the texts of a status in place."""
    for name, kinds in _KINDS:
        if kinds is str:
            text = getattr(status, name)
            setattr(status, name, bounded(text) if name == "message" else one_line(text))
    return status


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
