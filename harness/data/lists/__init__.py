"""Lists of videos: which video is in which split, with which class; one file per format."""

from __future__ import annotations

import importlib
import pkgutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.data.lists import kinetics
from harness.data.lists.list_format import ListFormat
from harness.data.source import SPLITS, Alive, Split, say_nothing
from harness.errors import Fault, UserError

MAX_FAULTS = 20
#: characters that no list may hold: nothing shows them, and they are part of no path
UNUSABLE = {"\0": "a NUL character", "\ufeff": "a byte-order mark"}


@dataclass(frozen=True)
class Video:
    """One video of a split: the file, its class, and `list:line` for messages."""

    path: Path
    label: int
    where: str


@dataclass(frozen=True)
class Lists:
    """The three lists of a data set, their files and the number of classes."""

    files: Mapping[Split, Path]
    videos: Mapping[Split, tuple[Video, ...]]
    num_classes: int
    alive: Alive = say_nothing
    """Is called after each file that is read as a whole or in part, where that takes long."""


@cache
def formats() -> tuple[ListFormat, ...]:
    """Imports the formats of this folder by file name; Kinetics' is the last, since it takes any list."""
    names = sorted(info.name for info in pkgutil.iter_modules(__path__))
    found = [getattr(importlib.import_module(f"{__name__}.{name}"), "FORMAT", None) for name in names]
    return (*(item for item in found if item not in (None, kinetics.FORMAT)), kinetics.FORMAT)


def read_lists(files: Mapping[Split, str], root: str | None, num_classes: int | None) -> Lists:
    """Reads the lists of the three splits.

    Paths of videos start at `root`, by default at the folder of their list; `num_classes` defaults to the largest
    label + 1.

    Raises:
        UserError: a list is missing or empty, lines cannot be read, labels are not below `num_classes`, or a video is
            in two lists. All faults are reported at once, each with its list and line.
    """
    faults: list[Fault] = []
    paths = {split: Path(files[split]) for split in SPLITS}
    videos = {split: _read_list(paths[split], split, root, faults) for split in SPLITS}
    for split in SPLITS:
        _check_labels(videos[split], num_classes, faults)
    _check_disjoint(videos, faults)
    raise_faults(faults)
    largest = max(video.label for split in SPLITS for video in videos[split])
    return Lists(paths, videos, num_classes or largest + 1)


def raise_faults(faults: list[Fault]) -> None:
    """Raises `UserError` with the first faults and the number of the others; a no-op without faults."""
    if len(faults) > MAX_FAULTS:
        faults = [*faults[:MAX_FAULTS], Fault("", "", f"and {len(faults) - MAX_FAULTS} more faults")]
    if faults:
        raise UserError(faults)


def _read_list(path: Path, split: Split, root: str | None, faults: list[Fault]) -> tuple[Video, ...]:
    try:
        text = _text(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"cannot read {path}: {reason}. Give a list of videos: {kinetics.SUMMARY}"
        faults.append(Fault("", f"data.{split}_list", message))
        return ()
    unusable = [
        Fault(f"{path}:{number}", "", f"holds {UNUSABLE[sign]}; save the list as plain UTF-8 text without it")
        for number, line in enumerate(text.split("\n"), 1)
        for sign in UNUSABLE
        if sign in line
    ]
    if unusable:
        faults += unusable
        return ()
    if not text.strip():
        faults.append(Fault("", f"data.{split}_list", f"{path} names no video; {kinetics.SUMMARY}"))
    entries = next(item for item in formats() if item.recognises(path, text)).read(path, text, faults)
    folder = Path(root) if root is not None else path.parent
    return tuple(Video(folder / entry.path, entry.label, entry.where) for entry in entries)


def _text(path: Path) -> str:
    """Returns the text of a list. Raises: OSError; ValueError with a reason."""
    if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would wait for ever
        raise ValueError("it is not a regular file")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None


def _check_labels(videos: tuple[Video, ...], num_classes: int | None, faults: list[Fault]) -> None:
    for video in videos:
        if num_classes is not None and video.label >= num_classes:
            allowed = f"labels are 0..{num_classes - 1} (data.num_classes); correct the label or raise num_classes"
            faults.append(Fault(video.where, "", f"label {video.label} is out of range; {allowed}"))


def _check_disjoint(videos: Mapping[Split, tuple[Video, ...]], faults: list[Fault]) -> None:
    first: dict[Path, tuple[Split, str]] = {}
    for split in SPLITS:
        for video in videos[split]:
            owner, where = first.setdefault(video.path, (split, video.where))
            if owner != split:
                way_out = "train, val and test must not share videos; hold some training videos out for the others"
                faults.append(Fault(video.where, "", f"{video.path} is in data.{owner}_list too ({where}); {way_out}"))
