"""Copies the code for the jobs of a submission, so that later edits do not affect waiting jobs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.code_identity import hash_files
from harness.locations import source_files
from harness.measure.machine.environment import git_state


@dataclass(frozen=True)
class Snapshot:
    """`path` goes into PYTHONPATH; `variant_dirs` are the copies of the user's folders of variants."""

    path: Path
    variant_dirs: list[Path]


def take(run: Path, variant_dirs: Sequence[Path]) -> Snapshot:
    """Copies harness, variants and the user's variants to `<run>/code/HASH`, unless the copy exists."""
    files = list(_files(variant_dirs))
    target = run / "code" / hash_files(files)[:16]
    extras = [f"extra_{number}" for number in range(len(variant_dirs))]
    if not target.exists():
        _copy(files, extras, target)
    return Snapshot(target, [target / name for name in extras])


def _files(variant_dirs: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Yields (path in the snapshot, file)."""
    for name, path in source_files("*"):
        if path.is_file() and path.suffix not in (".pyc", ".pyo"):
            yield name, path
    for number, extra in enumerate(variant_dirs):
        for path in sorted(Path(extra).glob("*.py")):
            yield f"extra_{number}/{path.name}", path


def _copy(files: Sequence[tuple[str, Path]], extras: Sequence[str], target: Path) -> None:
    """Copies atomically (to another name, then renames), so that a snapshot is whole or absent."""
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    for folder in extras:  # also one that holds no file
        (aside / folder).mkdir(parents=True)
    for name, path in files:
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, aside / name)
    (aside / "snapshot.json").write_text(json.dumps(git_state()), encoding="utf-8")
    try:
        aside.rename(target)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        if not target.exists():
            raise
