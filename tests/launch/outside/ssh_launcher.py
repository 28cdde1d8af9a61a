"""A launcher as an outside package would offer it: plain processes on other machines that share the folder of runs."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from harness.errors import UserError
from harness.launch.base import JobState, LaunchRequest, asking
from harness.launch.doctor import Finding
from harness.launch.queued import QueueLauncher
from harness.launch.tasks import TrialTask
from harness.nn.config import StrictConfig
from harness.store import Store
from harness.sweep.launch.config import LaunchConfig


class SshOptions(StrictConfig):
    """Fields of `launch.options.ssh`."""

    hosts: Annotated[list[str], Field(min_length=1)] = ["localhost"]


class Ssh(QueueLauncher):
    """Starts each trial on one of the hosts, in turn. A job is `ssh:HOST/TOKEN`; its files are `RUN/ssh/TOKEN.*`."""

    name, title, Options = "ssh", "ssh", SshOptions

    def check(self, request: LaunchRequest, *, will_start: bool) -> None:
        """Raises: UserError where there is no ssh, or for options of the local pool."""
        if request.num_workers is not None:
            raise UserError("--jobs: is for the local pool; ssh starts every trial at once.")
        if will_start and shutil.which("ssh") is None:
            raise UserError("no ssh here. Install it, or use --launch local.")

    def new_job(self, request: LaunchRequest) -> str:
        """Returns a job on the next host."""
        options = self.options(request.plan.launch)
        assert isinstance(options, SshOptions)
        host = options.hosts[len(list((request.store.path / "ssh").glob("*.pid"))) % len(options.hosts)]
        return f"ssh:{host}/{secrets.token_hex(5)}"

    def start(self, request: LaunchRequest, task: TrialTask, job: str) -> None:
        """Starts a process that outlives the connection, and notes its id on the shared folder."""
        stem = _file(request.store, job, "")
        stem.parent.mkdir(exist_ok=True)
        place = f"cd {shlex.quote(os.getcwd())} && export PYTHONPATH={shlex.quote(os.environ.get('PYTHONPATH', ''))}"
        command, files = shlex.join(self.command_of(request, task, job)), shlex.quote(str(stem))
        line = f"{place} && {{ nohup setsid {command} > {files}log 2>&1 < /dev/null & echo $! > {files}pid; }}"
        done = _ssh(_host(job), line)
        if done.returncode:
            raise UserError(f"ssh {_host(job)}: {done.stderr.strip()}. Its trial is pending again.")

    def live_jobs(self, store: Store, jobs: Collection[str]) -> tuple[set[str], str]:
        """Asks each host for the processes whose command line has the name of a job."""
        live: set[str] = set()
        for job in jobs:
            pid = _pid(store, job)
            if pid is not None:
                done = _ssh(_host(job), f"grep -qs {shlex.quote(job)} /proc/{pid}/cmdline && echo lives; true")
                if done.returncode:
                    return set(), f"ssh {_host(job)}: {done.stderr.strip()}"
                live |= {job} if "lives" in done.stdout else set()
        return live, ""

    def end_jobs(self, store: Store, jobs: Collection[str]) -> str:
        """Sends SIGTERM to the processes."""
        live, problem = self.live_jobs(store, jobs)
        for job in live:
            _ssh(_host(job), f"kill {_pid(store, job)}")
        return problem

    def describe(self, store: Store, job: str) -> JobState:
        """Returns where a job was started."""
        return JobState(f"started on {_host(job)}" if _pid(store, job) is not None else "")

    def logs(self, store: Store, job: str) -> list[Path]:
        """Returns the output of the job."""
        return [path for path in [_file(store, job, "log")] if path.exists()]

    def doctor(self, launch: LaunchConfig, runs: Path, wait_s: float) -> Iterator[Finding]:
        """Checks that ssh is here and, where trials would run by ssh, that every host answers."""
        yield Finding("ok" if shutil.which("ssh") else "note", "ssh", shutil.which("ssh") or "not here")
        options = self.options(launch) if launch.where == self.name else SshOptions(hosts=["none"])
        assert isinstance(options, SshOptions)
        for host in options.hosts if launch.where == self.name else []:
            done = _ssh(host, "true")
            kind = "problem" if done.returncode else "ok"
            yield Finding("problem" if kind == "problem" else "ok", host, done.stderr.strip() or "answers")


def _host(job: str) -> str:
    return job.removeprefix("ssh:").partition("/")[0]


def _file(store: Store, job: str, suffix: str) -> Path:
    return store.path.resolve() / "ssh" / f"{job.partition('/')[2]}.{suffix}"


def _pid(store: Store, job: str) -> int | None:
    try:
        return int(_file(store, job, "pid").read_text())
    except (OSError, ValueError):
        return None


def _ssh(host: str, line: str) -> subprocess.CompletedProcess[str]:
    command = ["ssh", host, line]
    with asking(60) as timeout_s:
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 255, "", f"no answer within {timeout_s:.2g} s")
