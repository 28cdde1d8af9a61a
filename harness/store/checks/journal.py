"""Checks the journal of a search line by line.

The journal is append-only: each line has a seal over itself and the seal of the line before, so that a changed, a lost
and a moved line all show. Lines of older versions, and those of other programs such as optuna-dashboard, have none; the
next sealed line covers them too.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.store.load import STUDIES_FILE, read_studies
from harness.store.sealed.reading import DamagedError, read_bytes

JOURNAL = "optuna.journal"
KEY = "seal"
_SEALED = re.compile(rb',"seal":"([0-9a-f]{16})"}$')
WAY_OUT = (
    "Move the file away and run the sweep again: the search begins again, and takes what has finished from its records"
)


@dataclass(frozen=True)
class JournalEnd:
    """The end of a journal, by the seals of all its lines."""

    seals: tuple[str, ...] = ()
    num_bytes: int = 0
    """Of the whole lines."""

    @property
    def num_lines(self) -> int:
        """Return the number of whole lines."""
        return len(self.seals)

    @property
    def seal(self) -> str:
        """Return the seal of the last line; "" for an empty journal."""
        return self.seals[-1] if self.seals else ""


def line_seal(before: str, line: bytes) -> str:
    """Return the seal of a line (without its own seal) after a line with the seal `before`."""
    return hashlib.sha256(before.encode() + b"\n" + line).hexdigest()[:16]


def line_of(log: dict[str, Any]) -> bytes:
    """Return a log as optuna writes it, without the end of the line."""
    return json.dumps(log, separators=(",", ":")).encode()


def check_journal(path: Path) -> JournalEnd:
    """Check every whole line of a journal; what follows the last end of a line is left by a killed writer.

    Raises: UserError for the first damaged line, with its number.
    """
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        return JournalEnd()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    except DamagedError as error:
        raise UserError(f"{path}: damaged ({error}). {WAY_OUT}.") from error
    seals: list[str] = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        before = seals[-1] if seals else ""
        try:
            found = _SEALED.search(line)
            if _check_log(line) and found is None:
                raise DamagedError("its seal is not where it was written")
            seals.append(line_seal(before, line if found is None else line[: found.start()] + b"}"))
            if found is not None and seals[-1] != found[1].decode():
                raise DamagedError("it, or a line before it, is not what was written")
        except DamagedError as error:
            raise damaged_line(path, number, str(error)) from error
    return JournalEnd(tuple(seals), content.rfind(b"\n") + 1)


def damaged_line(path: Path, number: int, reason: str) -> UserError:
    """Return the error of a damaged line."""
    return UserError(f"{path}:{number}: damaged ({reason}). {WAY_OUT}.")


def _check_log(line: bytes) -> bool:
    """Check that a line is a log of optuna, and return whether it has a seal. Raises: DamagedError."""
    try:
        log = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DamagedError(str(error).splitlines()[0]) from error
    if not isinstance(log, dict) or not isinstance(log.get("op_code"), int) or "worker_id" not in log:
        raise DamagedError("no entry of a journal")
    return KEY in log


def check_against_studies(run: Path, end: JournalEnd) -> int:
    """Return how many lines the journal has lost since the last summary of the search: they are made again.

    A summary that cannot be read says nothing: it is written again.

    Raises: UserError where the journal is another than that of the summary.
    """
    try:
        noted = read_studies(run)
    except UserError:
        return 0
    missing = noted.journal_lines - end.num_lines
    if missing <= 0 and noted.journal_lines and noted.journal_seal != end.seals[noted.journal_lines - 1]:
        raise damaged_line(run / JOURNAL, noted.journal_lines, f"it is not the line that {STUDIES_FILE} was made from")
    return max(0, missing)
