"""What the files of a job say of it: its marks and its log. Standard library only."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Run(Protocol):
    """Anything that lies in a run's folder; `harness.store.Store`."""

    path: Path


def job_folder(run: Run, token: str) -> Path:
    """Where a submission keeps its files."""
    return run.path / "jobs" / token


def job_logs(run: Run, job: str) -> list[Path]:
    """Log files of a job TOKEN/INDEX, oldest first; none before it started."""
    token, _, index = job.partition("/")
    folder = job_folder(run, token) / "log"
    # an array's element writes ID_INDEX_0_log.out, a job of its own ID_0_log.out; the shell before srun: the same file
    found = [path for path in folder.glob("*_log.out") if _index_of(path) == index]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def _index_of(path: Path) -> str:
    parts = path.name.removesuffix("_log.out").split("_")
    return parts[1] if len(parts) == 3 else "0"


def job_log_tail(run: Run, job: str, num_lines: int = 5) -> list[str]:
    """Last lines of a job's own log, for messages; empty where there is none."""
    lines: list[str] = []
    for path in job_logs(run, job):
        try:
            lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
    return [line for line in lines if line.strip()][-num_lines:]


def marks(run: Run, token: str, kind: str) -> dict[tuple[int, int], str]:
    """(index, restart) -> first line of each mark: `started` holds the node, `ended` how it went."""
    found: dict[tuple[int, int], str] = {}
    for path in (job_folder(run, token) / kind).glob("*.*"):
        index, _, restart = path.name.partition(".")
        if index.isdecimal() and restart.isdecimal():
            found[int(index), int(restart)] = _first_line(path)
    return found


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[0].strip() if lines else ""


def job_fate(run: Run, job: str) -> str:
    """What a job's marks say: 'not started', 'started on n1', 'ended on n1 with exit code 127'."""
    token, _, index = job.partition("/")
    started = {key: node for key, node in marks(run, token, "started").items() if str(key[0]) == index}
    if not started:
        return "not started"
    last = max(started)
    ended = marks(run, token, "ended").get(last)
    return f"ended on {started[last]} with exit code {ended.split()[-1]}" if ended else f"started on {started[last]}"
