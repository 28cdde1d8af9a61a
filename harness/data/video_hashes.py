"""Hashes of whole videos, which `data check` stores next to each list: `LIST.sha256.json`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from harness.data.lists import Lists, Video, raise_faults
from harness.data.source import SPLITS
from harness.data.video_content import for_each, samples
from harness.errors import Fault, UserError

VERSION = 1
WAY_OUT = "run `python -m harness data check SWEEP` again"


class Checked(NamedTuple):
    """What is stored of a file: the hash of its size and samples, and that of the whole file."""

    samples: str
    whole: str


def hashes_file(list_file: Path) -> Path:
    """Returns the file with the hashes of a list."""
    return list_file.with_name(f"{list_file.name}.sha256.json")


def are_stored(lists: Lists) -> bool:
    """Returns whether all three lists have stored hashes."""
    return all(hashes_file(lists.files[split]).exists() for split in SPLITS)


def stored(lists: Lists) -> dict[Path, bytes]:
    """Returns the stored hash of every file, after a comparison of its samples.

    Raises:
        UserError: files were changed or listed since, or the stored hashes are damaged.
    """
    found, faults, now = {}, [], samples(lists)
    for split in SPLITS:
        of_list = _read(hashes_file(lists.files[split]))
        for video in lists.videos[split]:
            checked = of_list.get(_name(video, lists.files[split]))
            if checked is None or checked.samples != now[video.path].hex():
                reason = "was changed since it was checked" if checked else "has not been checked"
                faults.append(Fault(video.where, "", f"{video.path} {reason}; {WAY_OUT}"))
            else:
                found[video.path] = checked.whole.encode()
    raise_faults(faults)
    return found


def check(lists: Lists) -> dict[Path, str]:
    """Decodes and hashes every file and stores the hashes; returns them.

    Raises:
        UserError: files are damaged, or have the same content as a file of another split. Nothing is stored then.
    """
    now = samples(lists)
    whole = for_each(lists, _checked, os.cpu_count() or 1)
    _check_copies(lists, whole)
    for split in SPLITS:
        file = lists.files[split]
        videos = {
            _name(video, file): Checked(now[video.path].hex(), whole[video.path]) for video in lists.videos[split]
        }
        _write(hashes_file(file), videos)
    return whole


def _checked(video: Video) -> str:
    from harness.data.decode import num_frames_decoded  # PyAV: planning reads stored hashes without it

    num_frames_decoded(video.path)
    with open(video.path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_copies(lists: Lists, whole: Mapping[Path, str]) -> None:
    first: dict[str, tuple[str, Video]] = {}
    faults = []
    for split in SPLITS:
        for video in lists.videos[split]:
            owner, other = first.setdefault(whole[video.path], (split, video))
            if owner != split:
                copy = f"{video.path} has the same content as {other.path} in data.{owner}_list ({other.where})"
                faults.append(Fault(video.where, "", f"{copy}; train, val and test must not share videos"))
    raise_faults(faults)


def _name(video: Video, list_file: Path) -> str:
    """Returns the path of a video relative to its list, so that both may move together."""
    return os.path.relpath(video.path, list_file.parent)


def _seal(files: object) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _write(path: Path, videos: Mapping[str, Checked]) -> None:
    files = {name: list(checked) for name, checked in videos.items()}
    content = {"version": VERSION, "sha256": _seal(files), "files": files}
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_text(json.dumps(content, indent=0) + "\n", encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def _read(path: Path) -> dict[str, Checked]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] == VERSION and content["sha256"] == _seal(content["files"]):
            return {name: Checked(*checked) for name, checked in content["files"].items()}
        reason = "is damaged, or of a newer version"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"cannot be read ({getattr(error, 'strerror', None) or 'damaged'})"
    raise UserError(f"{path} {reason}; {WAY_OUT}")
