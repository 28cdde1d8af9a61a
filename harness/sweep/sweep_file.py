"""Finds sweep files by name: `window_size` is sweeps/window_size.yaml here, else the shipped sweep of that name."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import UserError, did_you_mean
from harness.locations import SWEEPS

ENDINGS = (".yaml", ".yml")


def find_sweep(given: str | os.PathLike[str]) -> Path:
    """Return the sweep file that was meant: a path, or the name of a sweep in `sweeps/` or of a shipped one.

    Raises:
        UserError: a name that neither a file nor a sweep has.
    """
    path = Path(given)
    if not _is_name(path) or path.is_file():
        return path
    found = sweep_named(str(path))
    if found is None and not path.exists():
        names = sweep_names()
        raise UserError(
            f"{path}: no such sweep. Give a file (.yaml), or one of: {', '.join(names)}."
            f"{did_you_mean(str(path), names)}"
        )
    return found or path


def sweep_named(name: str) -> Path | None:
    """Return the file of a sweep by its name, None if there is none. A file of the current folder comes first."""
    if not _is_name(Path(name)):
        return None
    files = (folder / f"{name}{ending}" for folder in _folders() for ending in ENDINGS)
    return next((file for file in files if file.is_file()), None)


def sweep_names() -> list[str]:
    """Return the names of all sweeps that `sweep_named` finds, sorted."""
    return sorted({path.stem for folder in _folders() for ending in ENDINGS for path in folder.glob(f"*{ending}")})


def _folders() -> list[Path]:
    """The folders that are searched; the shipped one as a relative path where it lies below the current folder."""
    here = Path.cwd().resolve()
    shipped = SWEEPS.relative_to(here) if SWEEPS.is_relative_to(here) else SWEEPS
    return list(dict.fromkeys([Path("sweeps"), shipped]))


def _is_name(path: Path) -> bool:
    return len(path.parts) == 1 and path.suffix not in ENDINGS
