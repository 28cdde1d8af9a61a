"""Files of a report: digest of its inputs, and atomic replacement."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import harness
from harness.errors import UserError
from harness.store.load import (
    PLAN_FILE,
    RECORD_FILE,
    STUDIES_FILE,
    planned_trials,
    read_plan,
    read_record,
    read_statuses,
)  # fmt: skip
from harness.store.marks import failures, trial_marks
from harness.store.sealed.reading import DamagedError, read_bytes

DRAFT = b'"proven": false'  # as pydantic writes it, with an indent
_INPUTS = ".inputs.sha256"
_PACKAGE = Path(__file__).parents[1]


def inputs_digest(run_folder: Path) -> str:
    """Return the digest (sha256, hexadecimal) of all that a report of this run shows, and of the code that writes it.

    Statuses enter as `load` reads them, not as the bytes of `status.json`: a trial that was "running" becomes "lost"
    when its worker is gone, without any change of the file. So do the marks of drafts: a proof lies outside the run.

    Raises:
        UserError: the folder is no run, or its plan cannot be read.
    """
    plan = read_plan(run_folder)
    records = [run_folder / "trials" / trial_id / RECORD_FILE for trial_id in planned_trials(plan)]
    inputs = [run_folder / PLAN_FILE, run_folder / STUDIES_FILE, *records]
    inputs += sorted(run_folder.glob(f"tuning/trials/*/{RECORD_FILE}"))
    digest, failed = hashlib.sha256(json.dumps(read_statuses(run_folder, plan)).encode()), failures()
    for path in [*(path for path in inputs if path.is_file()), *_sources()]:
        content = _content(path)
        digest.update(f"{path.parent.name}/{path.name}\0{len(content)}\0".encode())
        digest.update(content)
        # failed checks of other code change nothing here
        if path.name == RECORD_FILE and (DRAFT in content or any(code.encode() in content for code in failed)):
            digest.update(_marks_text(path.parent).encode())
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    """Return the bytes of a file, or why there are none: `load` says what that means."""
    try:
        return read_bytes(path)
    except (OSError, DamagedError) as error:
        return str(error).encode()


def _marks_text(trial: Path) -> str:
    with suppress(UserError):  # a damaged record has no marks, and is reported where it is needed
        record = read_record(trial)
        return "" if record is None else "; ".join(trial_marks(record))
    return ""


def _sources() -> list[Path]:
    library = Path(harness.__file__).parent
    rooms = [_PACKAGE, library / "stats", library / "store", library / "text"]
    files = [library / name for name in ("units.py", "record.py", "quantities.py", "fields.py")]
    return sorted([*files, *_PACKAGE.rglob("*.j2"), *(path for room in rooms for path in room.rglob("*.py"))])


def files_of_digest(target: Path, digest: str) -> list[Path]:
    """Return the paths of the report of these inputs; empty unless all of them still exist."""
    stored, names = _read_index(target)
    paths = [target / name for name in names]
    return paths if stored == digest and all(path.is_file() for path in paths) else []


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """Yield a temporary folder on the file system of `target`, so that its files can be renamed into it."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".aside-", dir=target) as folder:
        yield Path(folder)


def publish(written: list[Path], target: Path, digest: str) -> list[Path]:
    """Rename files into `target`, remove those of the last report that are no longer written, store the digest."""
    _, old = _read_index(target)
    folder = written[0].parent
    names = [path.name for path in written]
    index = folder / _INPUTS
    index.write_text("\n".join([digest, *names]) + "\n", encoding="utf-8")
    # The old index is removed first: after a kill between two renames the report is written again.
    (target / _INPUTS).unlink(missing_ok=True)
    for name in names:
        os.replace(folder / name, target / name)
    for name in set(old) - set(names):
        (target / name).unlink(missing_ok=True)
    os.replace(index, target / _INPUTS)
    return [target / name for name in names]


def _read_index(target: Path) -> tuple[str, list[str]]:
    path = target / _INPUTS
    if not path.is_file():
        return "", []
    digest, *names = path.read_text(encoding="utf-8").splitlines() or [""]
    return digest, [name for name in names if name == Path(name).name]
