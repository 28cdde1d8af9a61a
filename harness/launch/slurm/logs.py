"""What the files of a job say of it: its marks and its log. Standard library only.

Under `<run>/jobs/TOKEN`: `started/INDEX/RESTART` (node and SLURM's id, written by the shell before Python starts),
`ended/INDEX/RESTART` ("job CODE" by our code at its end, else "shell CODE"), `log/` (what submitit makes).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Run(Protocol):
    """Anything that lies in a run's folder; `harness.store.Store`."""

    path: Path


def job_folder(run: Run, token: str) -> Path:
    """Where a submission keeps its files."""
    return run.path / "jobs" / token


def starts(run: Run, job: str) -> dict[int, tuple[str, str]]:
    """Restart -> (node, SLURM's id) of a job TOKEN/INDEX."""
    token, _, index = job.partition("/")
    found = _marks(job_folder(run, token) / "started" / index)
    words = {restart: [*line.split(), "", ""] for restart, line in found.items()}
    return {restart: (first, second) for restart, (first, second, *_) in words.items()}


def ends(run: Run, job: str) -> dict[int, str]:
    """Restart -> how it ended, of those that came to their end."""
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


def job_log(run: Run, job: str) -> Path | None:
    """The log of a job TOKEN/INDEX, all its restarts in one; None before it started."""
    begun = starts(run, job)
    if not begun:
        return None
    path = job_folder(run, job.partition("/")[0]) / "log" / f"{begun[max(begun)][1]}_0_log.out"
    return path if path.exists() else None


def job_log_tail(run: Run, job: str, num_lines: int = 5) -> list[str]:
    """Last lines of a job's own log, for messages; empty where there is none."""
    path = job_log(run, job)
    try:
        text = "" if path is None else path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-num_lines:]


def job_fate(run: Run, job: str) -> str:
    """What a job's marks say: "" (not started), 'started on n1', 'ended on n1 with exit code 127'."""
    begun = starts(run, job)
    if not begun:
        return ""
    node, ended = begun[max(begun)][0], ends(run, job).get(max(begun))
    return f"ended on {node} with exit code {ended.split()[-1]}" if ended else f"started on {node}"
