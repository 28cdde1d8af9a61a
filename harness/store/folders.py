"""Folders for results: checked before anything runs, created when they are needed."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError


def check_folder(path: Path) -> None:
    """Check that a folder can be created at `path`.

    Raises:
        UserError: `path` or one of its parents is a file.
    """
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"{place}: is a file, and a folder is needed. Choose another place with --runs.")


def make_folder(path: Path) -> Path:
    """Create a folder and its parents, and return it.

    Raises:
        UserError: that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{path}: cannot be made into a folder ({error.strerror}). Choose another place with --runs."
        raise UserError(message) from error
    return path
