"""Content of `status.json`: the status of a trial and the numbers for progress displays."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any

from harness.record import STATUSES
from harness.store.sealed import seal
from harness.store.sealed.reading import MIB, read_object
from harness.text.clean import bounded, one_line

MAX_STATUS_BYTES = MIB
DAMAGED_STATUS = "its status file was damaged"


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
    num_submissions: int = 0  # of jobs since a worker last started
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
_NAMES = {name for name, _ in _KINDS}


def read_status(file: Path) -> TrialStatus:
    """Read a status file; a missing or damaged one counts as pending, since the record is authoritative."""
    try:
        content, _ = seal.check(read_object(file, MAX_STATUS_BYTES, nan_is_null=True))
    except (FileNotFoundError, NotADirectoryError):
        return TrialStatus()
    except (OSError, ValueError):
        return TrialStatus(message=DAMAGED_STATUS)
    status = TrialStatus(**{key: value for key, value in content.items() if key in _NAMES})
    is_sound = status.status in STATUSES and all(isinstance(vars(status)[name], kinds) for name, kinds in _KINDS)
    return _clean(status) if is_sound else TrialStatus(message=DAMAGED_STATUS)


def status_text(status: TrialStatus) -> str:
    """Return the text of a status file. Texts are cleaned and bounded: any program may have written a message."""
    _clean(status).updated_at = time.time()
    loss = status.loss if status.loss is not None and math.isfinite(status.loss) else None
    return json.dumps(seal.seal({**asdict(status), "loss": loss}))


def _clean(status: TrialStatus) -> TrialStatus:
    """Clean and bound the texts of a status in place."""
    for name, kinds in _KINDS:
        if kinds is str:
            text = getattr(status, name)
            setattr(status, name, bounded(text) if name == "message" else one_line(text))
    return status
