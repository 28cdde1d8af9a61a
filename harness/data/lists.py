"""Kinetics-style lists of videos: one `path label` a line."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from harness.data.source import SPLITS, Split
from harness.errors import Fault, UserError
from harness.sweep.schema import VideoListConfig

LABEL = "class"
MAX_FAULTS = 20
# Read from the right: the label, perhaps the number of frames, and all before them is the path, spaces included.
_LINE = re.compile(r"(?P<path>\S.*?)(?:(?:\s*,\s*|\s+)\d+)?(?:\s*,\s*|\s+)(?P<label>\d+)")
_FORMAT = "a line is `path label`, `path frames label`, or the same with commas; label is a number from 0 on"


@dataclass(frozen=True)
class Video:
    """One line of a list: the file, its class, and `list:line` for messages."""

    path: Path
    label: int
    where: str


@dataclass(frozen=True)
class Lists:
    """The three lists of a data set and its number of classes."""

    videos: dict[Split, tuple[Video, ...]]
    num_classes: int


def parse_line(line: str) -> tuple[str, int] | None:
    """Splits one line into path and label; None if it is not a line of a list. A count of frames is ignored."""
    match = _LINE.fullmatch(line.strip())
    return (match["path"], int(match["label"])) if match else None


def read_lists(data: VideoListConfig) -> Lists:
    """Reads the three lists.

    Raises:
        UserError: a list is missing or empty, lines cannot be read, labels are not below `num_classes`, or a video is
            in two lists. All faults are told at once, each with its list and line.
    """
    faults: list[Fault] = []
    videos = {split: _read_list(data, split, faults) for split in SPLITS}
    _check_disjoint(videos, faults)
    raise_faults(faults)
    largest = max(video.label for split in SPLITS for video in videos[split])
    return Lists(videos, data.num_classes or largest + 1)


def raise_faults(faults: list[Fault]) -> None:
    """Raises `UserError` with the first faults and the number of the others; does nothing without faults."""
    if len(faults) > MAX_FAULTS:
        faults = [*faults[:MAX_FAULTS], Fault("", "", f"and {len(faults) - MAX_FAULTS} faults more")]
    if faults:
        raise UserError(faults)


def identity(data: VideoListConfig) -> str:
    """The hash of the contents of the three lists and of the sizes of all files they name.

    Raises:
        UserError: a list cannot be used, or files are missing.
    """
    lists = read_lists(data)
    faults: list[Fault] = []
    digest = hashlib.sha256()
    for split in SPLITS:
        digest.update(hashlib.sha256(list_path(data, split).read_bytes()).digest())
        for video in lists.videos[split]:
            digest.update(b"%d," % _file_size(video, faults))
    raise_faults(faults)
    return f"video_list/sha256:{digest.hexdigest()}"


def list_path(data: VideoListConfig, split: Split) -> Path:
    """Where the list of a split lies."""
    return Path({"train": data.train_list, "val": data.val_list, "test": data.test_list}[split])


def _read_list(data: VideoListConfig, split: Split, faults: list[Fault]) -> tuple[Video, ...]:
    path = list_path(data, split)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        message = f"cannot read {path}: {reason}. Give a list of videos: {_FORMAT}"
        faults.append(Fault("", f"data.{split}_list", message))
        return ()
    root = Path(data.root) if data.root is not None else path.parent
    places = ((line, f"{path}:{number}") for number, line in enumerate(lines, 1))
    read = [_read_line(line, where, root, data.num_classes, faults) for line, where in places]
    videos = tuple(video for video in read if video)
    if not any(line.strip() for line in lines):
        faults.append(Fault("", f"data.{split}_list", f"{path} names no video; {_FORMAT}"))
    return videos


def _read_line(line: str, where: str, root: Path, num_classes: int | None, faults: list[Fault]) -> Video | None:
    if not line.strip():
        return None
    parsed = parse_line(line)
    if parsed is None:
        faults.append(Fault(where, "", f"cannot read {line.strip()!r}; {_FORMAT}"))
        return None
    path, label = parsed
    if num_classes is not None and label >= num_classes:
        allowed = f"labels are 0..{num_classes - 1} (data.num_classes); correct the label or raise num_classes"
        faults.append(Fault(where, "", f"label {label} is out of range; {allowed}"))
    return Video(root / path, label, where)


def _check_disjoint(videos: dict[Split, tuple[Video, ...]], faults: list[Fault]) -> None:
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
