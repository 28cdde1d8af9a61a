"""The file of a submission, written before sbatch is called: `<run>/jobs/TOKEN/submission.json`."""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from harness.errors import UserError
from harness.launch.slurm.logs import job_folder
from harness.record import RecordModel
from harness.store import Store, write_atomically
from harness.worker.watchdog import DEFAULT_STALL_MINUTES

FOLDERS = ("log", "started", "ended")


class Submission(RecordModel):
    """One job array (or single job). Only this file names its trials; the job reads it.

    `state`: intent (unconfirmed: sbatch is about to be called, or its caller was killed), submitted, abandoned (SLURM
    does not have it; a job that starts nevertheless does nothing).
    """

    token: str
    name: str = Field(description="of the job; holds the token, so that an unconfirmed job can be found")
    state: Literal["intent", "submitted", "abandoned"] = "intent"
    job_id: str = ""
    trials: list[list[str]] = Field(description="index in the array -> ids of its trials")
    labels: dict[str, str] = Field(description="trial id -> its row and seed, for messages")
    code: str = Field(description="folder of the code that the jobs run")
    setup: list[str] = Field([], description="the user's shell lines of the jobs")
    nodes: int = Field(1, description="of each job; more than 1: SLURM starts every process of the trial as a task")
    max_restarts: int
    num_workers: int | None = None
    time_limit_minutes: float | None = None
    stall_minutes: float | None = DEFAULT_STALL_MINUTES
    warm_workers: bool = True

    @property
    def is_array(self) -> bool:
        """Returns whether SLURM has an array: submitit makes none for a single job."""
        return len(self.trials) > 1

    def job(self, index: int) -> str:
        """Returns the name of one job of the array, as trials note it."""
        return f"{self.token}/{index}"

    def slurm_id(self, index: int) -> str:
        """Returns SLURM's id of one job of the array."""
        return f"{self.job_id}_{index}" if self.is_array else self.job_id


def new_token() -> str:
    """Returns a name that no other submission has."""
    return secrets.token_hex(5)


def write(store: Store, submission: Submission) -> Path:
    """Writes the file of a submission and makes its folders; returns its folder."""
    folder = job_folder(store, submission.token)
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "submission.json", submission.model_dump_json(indent=1))
    return folder


def read(folder: Path) -> Submission:
    """Returns the submission of a folder. Raises: UserError where there is none, or a damaged one."""
    path = folder / "submission.json"
    try:
        found = path.stat()
        return _parsed(path, found.st_mtime_ns, found.st_size).model_copy()
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path}: cannot be used ({reason}). Cancel its jobs with scancel and remove {folder}."
        ) from error


@lru_cache(maxsize=256)  # `status` needs it for every trial of an array
def _parsed(path: Path, time_ns: int, size: int) -> Submission:
    return Submission.model_validate_json(path.read_text(encoding="utf-8"))


def find(store: Store, token: str) -> Submission | None:
    """Returns the submission with this token, or None where its folder is gone."""
    folder = job_folder(store, token)
    return read(folder) if token and (folder / "submission.json").exists() else None


def find_job(store: Store, job: str) -> tuple[Submission, int] | None:
    """Returns the submission and the index of a job TOKEN/INDEX; None for an unknown job."""
    match = re.fullmatch(r"([0-9a-f]+)/([0-9]{1,9})", job, re.ASCII)
    found = find(store, match[1]) if match else None
    if match is None or found is None or int(match[2]) >= len(found.trials):
        return None
    return found, int(match[2])


def is_confirmed(store: Store, job: str) -> bool:
    """Returns whether SLURM is known to have accepted a job; unknown jobs count as confirmed."""
    known = find_job(store, job)
    return known is None or known[0].state != "intent"


def every(store: Store) -> list[Submission]:
    """Returns all submissions of a run."""
    return [read(path.parent) for path in sorted((store.path / "jobs").glob("*/submission.json"))]
