"""Lists of videos: which video is in which split, with which class; one file per format."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.data.lists import kinetics
from harness.data.lists.list_format import ListFormat
from harness.data.source import SPLITS, Split
from harness.errors import Fault, UserError

MAX_FAULTS = 20


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


def content_hash(lists: Lists) -> str:
    """Returns the SHA-256 over the contents of the three lists and the sizes of all files they name, as hex digits.

    Raises:
        UserError: files are missing.
    """
    faults: list[Fault] = []
    digest = hashlib.sha256()
    for split in SPLITS:
        digest.update(hashlib.sha256(lists.files[split].read_bytes()).digest())
        for video in lists.videos[split]:
            digest.update(b"%d," % _file_size(video, faults))
    raise_faults(faults)
    return digest.hexdigest()


def _read_list(path: Path, split: Split, root: str | None, faults: list[Fault]) -> tuple[Video, ...]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        message = f"cannot read {path}: {reason}. Give a list of videos: {kinetics.SUMMARY}"
        faults.append(Fault("", f"data.{split}_list", message))
        return ()
    if "\0" in text:  # no path has one, and no call of the system takes it
        line = text[: text.index("\0")].count("\n") + 1
        faults.append(Fault(f"{path}:{line}", "", "a NUL character; the file is damaged, or it is no list of videos"))
        return ()
    if not text.strip():
        faults.append(Fault("", f"data.{split}_list", f"{path} names no video; {kinetics.SUMMARY}"))
    entries = next(item for item in formats() if item.recognises(path, text)).read(path, text, faults)
    folder = Path(root) if root is not None else path.parent
    return tuple(Video(folder / entry.path, entry.label, entry.where) for entry in entries)


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


def _file_size(video: Video, faults: list[Fault]) -> int:
    try:
        return video.path.stat().st_size
    except OSError as error:
        way_out = "correct the path, set data.root to the folder the paths start from, or remove the line"
        faults.append(Fault(video.where, "", f"cannot read {video.path}: {error.strerror}; {way_out}"))
        return 0
