"""Reads a sweep file as UTF-8 text; rejects tabs and control characters before YAML is parsed."""

from __future__ import annotations

import re
from pathlib import Path

from harness.errors import did_you_mean
from harness.sweep.reading.faults import FaultList
from harness.sweep.reading.node import Mark, Node
from harness.sweep.reading.yaml import compose_text

MAX_BYTES = 256 * 1024
MAX_SHOWN = 20
_FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def read_file(path: Path, faults: FaultList, blame: Mark | None = None) -> Node | None:
    """Returns the mapping of a YAML file; None, with a fault added, if there is none.

    `blame` is the place to report for problems of the whole file, such as the line that names it; default: its start.
    """
    file = printable(str(path))
    start = Mark(file, 1, 1)
    data = _read_bytes(path, faults, blame)
    text = _decode(data, file, faults) if data is not None else None
    if text is None or not check_characters(text, file, faults):
        return None
    before = len(faults)
    root = compose_text(text, file, faults)
    if len(faults) > before and (root is None or not root.is_mapping):
        return None
    if root is None or root.value is None:
        faults.add(start, "", "the file is empty; a sweep file needs at least question, data and variant")
    elif not root.is_mapping:
        what = "a list" if isinstance(root.value, list) else "a single value"
        faults.add(
            root.mark,
            "",
            f"{what} at the top level; a sweep file is a mapping with keys such as question, data, variant",
        )
    return root if root is not None and root.is_mapping else None


def printable(name: str) -> str:
    """Escapes a file name or argument so that it fits one line of any terminal."""
    safe = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return _FORBIDDEN.sub(lambda bad: f"\\x{ord(bad[0]):02x}", safe).replace("\n", "\\n")


def _read_bytes(path: Path, faults: FaultList, blame: Mark | None) -> bytes | None:
    try:
        if path.is_dir():
            problem = f"a folder; name a sweep file in it{_yaml_files(path)}"
        elif path.is_symlink() and not path.exists():
            problem = "a link that leads nowhere"
        elif not path.exists():
            problem = f"no such file.{_neighbour(path)} `python -m harness list sweeps` shows the shipped sweeps."
        elif not path.is_file():
            problem = "not a regular file"
        elif path.stat().st_size > MAX_BYTES:
            problem = f"larger than {MAX_BYTES // 1024} KiB, the limit for a sweep file"
        else:
            return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        problem = f"cannot be read: {reason}"
    file = printable(str(path))
    if blame is None:  # the file itself is the place, as a whole
        faults.add(Mark(file, 1, 1, file), "", printable(problem))
    else:
        faults.add(blame, "", f"{file}: {printable(problem)}")
    return None


def _yaml_files(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".yaml", ".yml"))
    return f": {', '.join(names[:MAX_SHOWN])}" if names else ""


def _neighbour(path: Path) -> str:
    if not path.parent.is_dir():
        return f" There is no folder {path.parent} either."
    return did_you_mean(path.name, sorted(entry.name for entry in path.parent.iterdir() if entry.is_file()))


def _decode(data: bytes, file: str, faults: FaultList) -> str | None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line = before.decode("utf-8").split("\n")[-1]
        utf_16 = " (it looks like UTF-16)" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        mark = Mark(file, before.count(b"\n") + 1, len(line) + 1)
        faults.add(mark, "", f"byte 0x{error.object[error.start]:02X} is not UTF-8{utf_16}; save the file as UTF-8")
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_characters(text: str, file: str, faults: FaultList, offset: int = 0) -> bool:
    """Adds a fault for every tab and control character; returns True if there are none."""
    count = 0
    for number, line in enumerate(text.split("\n"), start=1):
        shift = offset if number == 1 else 0
        for bad in _FORBIDDEN.finditer(line):
            count += 1
            if count > MAX_SHOWN:
                faults.add(Mark(file, number, bad.start() + 1 + shift), "", "more such characters follow")
                return False
            faults.add(Mark(file, number, bad.start() + 1 + shift), "", _complaint(bad[0]))
    return count == 0


def _complaint(character: str) -> str:
    if character == "\t":
        return "a tab is not allowed; use spaces"
    name = "NUL" if character == "\0" else f"U+{ord(character):04X}"
    return f"control character {name} is not allowed; remove it"
