"""The files that a job leaves: its marks and its log. Standard library only.

Under `<run>/jobs/TOKEN`: `started/INDEX/RESTART` (node and SLURM's id, written by the shell before Python starts),
`ended/INDEX/RESTART` ("job CODE" by our code at its end, else "shell CODE"), `log/` (what submitit makes).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from harness.text.log_files import tail_lines


class RunFolder(Protocol):
    """Anything with the path of a run; `harness.store.Store`."""

    path: Path


def job_folder(run: RunFolder, token: str) -> Path:
    """Returns the folder of a submission."""
    return run.path / "jobs" / token


def starts(run: RunFolder, job: str) -> dict[int, tuple[str, str]]:
    """Returns, for each restart of a job TOKEN/INDEX, its (node, SLURM's id)."""
    token, _, index = job.partition("/")
    found = _marks(job_folder(run, token) / "started" / index)
    words = {restart: [*line.split(), "", ""] for restart, line in found.items()}
    return {restart: (first, second) for restart, (first, second, *_) in words.items()}


def ends(run: RunFolder, job: str) -> dict[int, str]:
    """Returns how each restart of a job ended, for those that wrote a mark."""
    token, _, index = job.partition("/")
    return _marks(job_folder(run, token) / "ended" / index)


def _marks(folder: Path) -> dict[int, str]:
    try:
        return {int(path.name): _first_line(path) for path in sorted(folder.iterdir()) if path.name.isdecimal()}
    except OSError:
        return {}


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[0].strip() if lines else ""


def job_log(run: RunFolder, job: str) -> Path | None:
    """Returns the log of a job TOKEN/INDEX, all its restarts in one; None before it started."""
    begun = starts(run, job)
    if not begun:
        return None
    path = job_folder(run, job.partition("/")[0]) / "log" / f"{begun[max(begun)][1]}_0_log.out"
    return path if path.exists() else None


def job_log_tail(run: RunFolder, job: str, num_lines: int = 5) -> list[str]:
    """Returns the last lines of a job's own log, clean and bounded; empty where there is none."""
    path = job_log(run, job)
    return [] if path is None else tail_lines(path, num_lines)


def job_fate(run: RunFolder, job: str) -> str:
    """Returns the state of a job by its marks: "" (not started), 'started on n1', 'ended on n1 with exit code 127'."""
    begun = starts(run, job)
    if not begun:
        return ""
    node, ended = begun[max(begun)][0], ends(run, job).get(max(begun))
    return f"ended on {node} with exit code {ended.split()[-1]}" if ended else f"started on {node}"
