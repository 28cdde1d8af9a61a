"""The source files of a folder: what is copied into a snapshot, and what a variant can read there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UserError

#: folders that hold no source of their owner
SKIPPED = {"__pycache__", "node_modules", "site-packages", "build", "dist"}
MODULES = {".py", ".so", ".pyd"}
#: larger files that are no modules are data, and are left out
MAX_FILE_BYTES = 2**20
MAX_FILES, MAX_BYTES = 1000, 16 * 2**20


def source_files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (path inside, file) of the source files of a folder and its subfolders, sorted.

    Hidden files, caches, environments, runs of the harness and files above 1 MiB are left out.

    Raises:
        UserError: more than a folder of source files holds.
    """
    num_files = num_bytes = 0
    for path in _walk(folder):
        num_files, num_bytes = num_files + 1, num_bytes + path.stat().st_size
        if num_files > MAX_FILES or num_bytes > MAX_BYTES:
            raise UserError(
                f"{folder}: more than {MAX_FILES} files or {MAX_BYTES >> 20} MiB without caches and runs. A sweep "
                f"keeps a copy of this folder: move the variants into a folder with nothing but their source files."
            )
        yield path.relative_to(folder).as_posix(), path


def _walk(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))  # a link may lead to a folder above it
        inside = (Path(place, name) for name in sorted(folders))
        folders[:] = [path.name for path in inside if not _is_skipped(path) and os.path.realpath(path) not in seen]
        for name in sorted(files):
            path = Path(place, name)
            if not name.startswith(".") and path.suffix not in (".pyc", ".pyo") and _is_source(path):
                yield path


def _is_skipped(folder: Path) -> bool:
    name = folder.name
    is_run = (folder / "plan.json").is_file() or (folder / "trials").is_dir()
    return name.startswith(".") or name in SKIPPED or is_run or (folder / "pyvenv.cfg").is_file()


def _is_source(path: Path) -> bool:
    """Return whether a file is copied: a regular file (or a link to one), small or a module."""
    return path.is_file() and (path.suffix in MODULES or path.stat().st_size <= MAX_FILE_BYTES)
