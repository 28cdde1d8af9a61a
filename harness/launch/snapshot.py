"""Copies the code of a sweep into its run, so that later edits change nothing for trials that wait or run.

The copy lies in `RUN/code/DIGEST/`: harness, variants, the user's folders of variants (`extra_0`, ...) and the packages
that offer variants. Code that did not change is copied once.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.code_identity import hash_contents
from harness.code_identity.folders import source_files_of
from harness.errors import UserError
from harness.locations import PACKAGE, source_files
from harness.measure.machine.environment import git_state

CODE = "code"  # the folder of the snapshots in a run


@dataclass(frozen=True)
class Snapshot:
    """The code that workers import: `path` goes into PYTHONPATH; `variant_dirs` are copies of the user's folders."""

    path: Path = PACKAGE.parent
    variant_dirs: tuple[Path, ...] = ()


#: the code of this process: in a job, that is a snapshot already
OWN = Snapshot()


def environment(code: Path = OWN.path) -> dict[str, str]:
    """Return the variables with which a new Python process imports this code, whatever its working directory is."""
    paths = [str(code), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(filter(None, paths))), "PYTHONSAFEPATH": "1"}


def take(run: Path, variant_dirs: Sequence[Path], packages: Iterable[Path] = ()) -> Snapshot:
    """Copy harness, variants, folders of variants and packages to `<run>/code/DIGEST`, unless the copy exists.

    `packages`: folders or files of top-level packages that offer variants.

    Raises:
        UserError: a folder holds too much for a folder of source files, or a file cannot be read or written.
    """
    extras = {f"extra_{number}": Path(folder) for number, folder in enumerate(variant_dirs)}
    copied = [*extras.items(), *((package.name, package) for package in packages)]
    try:
        # read once: a file that is edited meanwhile must not differ from what the digest says
        contents = {name: path.read_bytes() for name, path in _files(copied)}
        target = run.resolve() / CODE / hash_contents([*contents.items(), *((name, b"") for name in extras)])[:16]
        if not _is_whole(target, contents):
            _write(contents, list(extras), target)
    except OSError as error:
        raise UserError(f"the code cannot be copied into {run}: {error}. Run the same command again.") from error
    return Snapshot(target, tuple(target / name for name in extras))


def _files(copied: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Path]]:
    """Yield (path in the snapshot, file)."""
    for name, path in source_files("*"):
        if path.is_file() and path.suffix not in (".pyc", ".pyo"):
            yield name, path
    for prefix, place in copied:
        for name, path in [("", place)] if place.is_file() else source_files_of(place):
            yield f"{prefix}/{name}".rstrip("/"), path


def _is_whole(target: Path, contents: Mapping[str, bytes]) -> bool:
    """Return whether a copy exists and nothing in it was edited, deleted or lost."""
    try:
        return target.is_dir() and all((target / name).read_bytes() == content for name, content in contents.items())
    except OSError:
        return False


def _write(contents: Mapping[str, bytes], extras: Sequence[str], target: Path) -> None:
    """Write atomically (under another name, then rename), so that a snapshot is whole or absent."""
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    for folder in extras:  # also one that holds no file
        (aside / folder).mkdir(parents=True)
    for name, content in contents.items():
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        (aside / name).write_bytes(content)
    (aside / "snapshot.json").write_text(json.dumps(git_state()), encoding="utf-8")
    damaged = target.with_name(f".{target.name}.{os.getpid()}.damaged.tmp")
    try:
        if target.exists():
            target.rename(damaged)
        aside.rename(target)
    except OSError:
        if not _is_whole(target, contents):  # else another command wrote it
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(damaged, ignore_errors=True)
