"""The content of listed videos: hashes for the identity of the data, and files that may not be in two splits.

Version 1 of the identity is the lists and the sizes of the files. Version 2 adds a hash of three samples of each file.
Where `data check` has stored hashes of the whole files (`video_hashes`), those take the place of the samples.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from harness.data.lists import Lists, Video, raise_faults
from harness.data.source import SPLITS, Split
from harness.errors import Fault, UserError

Result = TypeVar("Result")
SAMPLE_BYTES = 64 * 2**10
NUM_THREADS = 16
_KNOWN: dict[Path, FileState] = {}  # the latest identity that this process has seen, for `check_unchanged`


class FileState(NamedTuple):
    """Distinguishes a file from others, and from itself after a change, without reading it."""

    device: int
    inode: int
    size: int
    mtime_ns: int


def states(lists: Lists) -> dict[Path, FileState]:
    """Returns the state of every listed file, by its path as listed.

    Raises:
        UserError: files are missing or are no regular files, or one file, under whatever names, is in two splits. All
            faults are reported at once, each with its list and line.
    """
    faults: list[Fault] = []
    videos = [video for split in SPLITS for video in lists.videos[split]]
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        paths = [video.path for video in videos]
        found = dict(zip(paths, pool.map(_state, paths), strict=True))
    first: dict[tuple[int, int], tuple[Split, Video]] = {}
    for split in SPLITS:
        for video in lists.videos[split]:
            state = found[video.path]
            if isinstance(state, str):
                way_out = "correct the path, set data.root to the folder the paths start from, or remove the line"
                faults.append(Fault(video.where, "", f"cannot read {video.path}: {state}; {way_out}"))
                continue
            owner, other = first.setdefault((state.device, state.inode), (split, video))
            if owner != split:
                same = f"{video.path} is the same file as {other.path} in data.{owner}_list ({other.where})"
                faults.append(Fault(video.where, "", f"{same}; train, val and test must not share videos"))
    raise_faults(faults)
    known = {path: state for path, state in found.items() if isinstance(state, FileState)}
    _KNOWN.update(known)
    return known


def check_unchanged(path: Path) -> None:
    """Checks that a file is the one whose identity this process has seen last, if it has seen one.

    Raises: UserError for a file that was changed or is gone.
    """
    known = _KNOWN.get(path)
    if known is None:
        return
    try:
        state = _state(path)
        if state == known or (isinstance(state, FileState) and _sample(path, state) == _sample(path, known)):
            return
    except OSError as error:
        state = error.strerror or type(error).__name__
    reason = state if isinstance(state, str) else "it was changed"
    raise UserError(f"{path}: not the file with which the trial began: {reason}; restore it and repeat the trial")


def _state(path: Path) -> FileState | str:
    """Returns the state of a file, or why it cannot be read."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    if not stat.S_ISREG(found.st_mode):
        return "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
    return FileState(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def hash_of(lists: Lists, of_file: Mapping[Path, bytes]) -> str:
    """Returns the SHA-256 over the contents of the lists and a text for each file, as hex digits."""
    digest = hashlib.sha256()
    for split in SPLITS:
        digest.update(hashlib.sha256(lists.files[split].read_bytes()).digest())
        for video in lists.videos[split]:
            digest.update(of_file[video.path])
    return digest.hexdigest()


def sizes(lists: Lists) -> dict[Path, bytes]:
    """Returns the size of every file as text. Raises: UserError, see `states`."""
    return {path: b"%d," % state.size for path, state in states(lists).items()}


def samples(lists: Lists) -> dict[Path, bytes]:
    """Returns the SHA-256 of size and samples of every file. Raises: UserError, see `states` and `for_each`."""
    found = states(lists)
    return for_each(lists, lambda video: _sample(video.path, found[video.path]), NUM_THREADS)


def for_each(lists: Lists, read: Callable[[Video], Result], num_threads: int) -> dict[Path, Result]:
    """Calls `read` for every listed file once, several at a time; returns the results by path.

    Raises:
        UserError: `read` raised one, or an OSError, for some files; all of them, with list and line.
    """
    videos = list({video.path: video for split in SPLITS for video in lists.videos[split]}.values())
    faults: list[Fault] = []

    def guarded(video: Video) -> Result | None:
        lists.alive("file")
        try:
            return read(video)
        except OSError as error:
            faults.append(Fault(video.where, "", f"cannot read {video.path}: {error.strerror}; replace the file"))
        except UserError as error:
            faults.append(Fault(video.where, "", str(error)))
        return None

    with ThreadPoolExecutor(num_threads) as pool:
        results = dict(zip((video.path for video in videos), pool.map(guarded, videos), strict=True))
    places = {video.where: number for number, video in enumerate(videos)}
    raise_faults(sorted(faults, key=lambda fault: places[fault.where]))
    return {path: result for path, result in results.items() if result is not None}


@lru_cache(maxsize=2**20)
def _sample(path: Path, state: FileState) -> bytes:
    """Hashes the size and the first, middle and last 64 KiB of a file; cached for an unchanged state."""
    digest = hashlib.sha256(b"%d," % state.size)
    with open(path, "rb", buffering=0) as file:
        for start in sorted({0, max((state.size - SAMPLE_BYTES) // 2, 0), max(state.size - SAMPLE_BYTES, 0)}):
            digest.update(os.pread(file.fileno(), SAMPLE_BYTES, start))
    return digest.digest()
