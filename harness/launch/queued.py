"""`QueueLauncher`: a launcher that hands each trial to a queue, or to another machine, as a job of its own."""

from __future__ import annotations

import secrets
import sys
import time
from abc import abstractmethod
from collections.abc import Collection, Sequence

from harness.errors import UserError
from harness.launch import snapshot
from harness.launch.assignment import assign, end_never_started, leave_job, release
from harness.launch.base import Cancelled, Launcher, LaunchRequest, Log, Owners
from harness.launch.source import EndedByFiles, Source, drive
from harness.launch.tasks import Todo, TrialTask, prepare, state_of
from harness.record import OPEN_STATUSES
from harness.store import Store, TrialFolder
from harness.units import counted

AT_ONCE = 8  # trials of a search, where the plan does not say: a search learns from those that have ended
ASK_SECONDS = 10.0  # between two questions about the jobs of a search: trials themselves report how they ended
POLL_SECONDS = 0.5


class QueueLauncher(Launcher):
    """Submits open trials, one job each, and returns. A subclass says how: `start`, `live_jobs`, `end_jobs`."""

    detaches = True

    @abstractmethod
    def start(self, request: LaunchRequest, task: TrialTask, job: str) -> None:
        """Starts a job that runs `command_of(request, task, job)`. Raises: UserError where that is not possible."""

    @abstractmethod
    def live_jobs(self, store: Store, jobs: Collection[str]) -> tuple[set[str], str]:
        """Returns which of these jobs wait or run, and why that is unknown (empty where it is known)."""

    @abstractmethod
    def end_jobs(self, store: Store, jobs: Collection[str]) -> str:
        """Asks jobs to end (SIGTERM); returns why that failed, or an empty string."""

    def new_job(self, request: LaunchRequest) -> str:
        """Returns the name of a job that is about to be started."""
        return f"{self.name}:{secrets.token_hex(5)}"

    def command_of(self, request: LaunchRequest, task: TrialTask, job: str) -> list[str]:
        """Returns the command of a job: it trains and measures its trial as long as the trial names the job."""
        variables = (f"{name}={value}" for name, value in snapshot.environment(request.code.path).items())
        start = ["env", *variables, sys.executable, "-m", "harness"]
        command = [*start, "job", str(request.store.path.resolve()), job, task.trial.trial_id]
        limit = request.plan.launch.time_limit_minutes
        return [*command, *(["--time-limit-minutes", str(limit)] if limit is not None else [])]

    def run(self, request: LaunchRequest, todo: Todo) -> bool:
        """Submits what is open and has no job."""
        taken, free = self._sorted(request.store, todo.tasks)
        ended = self._start_all(request, free)
        size = counted(len(free) - len(ended), "trial")
        print(f"{size} submitted, {taken} at work or in the queue already")
        if ended:
            message = ended[0].folder.written_status().message
            invalid = f"{counted(len(ended), 'trial')} invalid now: {ended[0].trial.trial_id}: {message}"
            raise UserError(f"{invalid}, then this command again.")
        return True

    def _sorted(self, store: Store, tasks: Sequence[TrialTask]) -> tuple[int, list[TrialTask]]:
        """Returns how many tasks a job or a worker has, and the others. Raises: UserError where that is unknown."""
        owners = self.owners(store, [task.folder for task in tasks])
        if owners.unknown:
            size = counted(len(owners.unknown), "trial")
            raise UserError(f"{size} may have a job ({owners.problem}). Run the same command again later.")
        free = [task for task in tasks if task.trial.trial_id not in owners.taken]
        return len(tasks) - len(free), free

    def _start_all(self, request: LaunchRequest, tasks: Sequence[TrialTask]) -> list[TrialTask]:
        """Starts a job for each task; returns those that too many jobs did not start; they are invalid now."""
        most, ended = request.plan.launch.max_resubmissions, []
        prepare(Todo(list(tasks)), request.plan, request.code)
        for task in tasks:
            last = task.folder.written_status().job
            if end_never_started(task.folder, most, f"{last} is gone and left no trace"):
                ended.append(task)
                continue
            job = self.new_job(request)
            if not assign(task.folder, job):
                continue  # a worker of another command has it
            try:
                self.start(request, task, job)
            except UserError:
                release(task.folder, lambda named, job=job: named == job)  # type: ignore[misc]
                raise
        return ended

    def search(self, request: LaunchRequest, source: Source) -> bool:
        """Submits the tasks of a search as they come."""
        assert request.plan.tuning is not None
        deadline = None if request.time_budget_s is None else time.monotonic() + request.time_budget_s
        queue = _SearchQueue(self, request, needs_timings=request.plan.tuning.config.needs_timings)
        most = request.plan.launch.array_parallelism or AT_ONCE
        return drive(source, queue, most=most, should_stop=lambda: deadline is not None and time.monotonic() > deadline)

    def owners(self, store: Store, folders: Sequence[TrialFolder]) -> Owners:
        """Returns which trials run or have a job that waits or runs."""
        statuses = {folder.trial_id: folder.status() for folder in folders}
        jobs = {status.job for status in statuses.values() if status.job}
        live, problem = self.live_jobs(store, jobs) if jobs else (set[str](), "")
        taken = {trial for trial, status in statuses.items() if status.status == "running" or status.job in live}
        unknown = {trial for trial, status in statuses.items() if status.job and problem} - taken
        return Owners(taken, unknown, problem)

    def cancel(self, store: Store, folders: Sequence[TrialFolder], wait_s: float, log: Log) -> Cancelled:
        """Ends the jobs of open trials."""
        chosen = [folder for folder in folders if state_of(folder).status in OPEN_STATUSES]
        jobs = {folder.trial_id: folder.written_status().job for folder in chosen}
        done = Cancelled(trials=sorted(jobs))
        for folder in chosen:  # first: a job that starts meanwhile leaves its trial alone
            release(folder, lambda named, job=jobs[folder.trial_id]: named == job)  # type: ignore[misc]
        done.problem = self.end_jobs(store, set(jobs.values()))
        deadline = time.monotonic() + wait_s
        while not done.problem:
            left, done.problem = self.live_jobs(store, set(jobs.values()))
            done.num_ending = len(left)
            if not left or time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        for folder in chosen if not done.problem and not done.num_ending else []:
            leave_job(folder)
        return done


class _SearchQueue(EndedByFiles):
    """The jobs of a search; asks now and then whether the queue has lost one."""

    def __init__(self, launcher: QueueLauncher, request: LaunchRequest, *, needs_timings: bool):
        super().__init__(self._submit, needs_timings=needs_timings, is_gone=self._is_gone)
        self.launcher, self.request = launcher, request
        self._owners = Owners()
        self._next_question = 0.0

    def _submit(self, tasks: Sequence[TrialTask]) -> None:
        _, free = self.launcher._sorted(self.request.store, tasks)
        self.launcher._start_all(self.request, free)
        self._next_question = 0.0

    def _is_gone(self, task: TrialTask, status: str) -> bool:
        if time.monotonic() >= self._next_question:
            self._owners = self.launcher.owners(self.request.store, [known.folder for known in self.tasks])
            self._next_question = time.monotonic() + ASK_SECONDS
        return not self._owners.problem and task.trial.trial_id not in self._owners.taken
