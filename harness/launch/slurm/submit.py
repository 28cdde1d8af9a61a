"""Submits the open trials of a run that have no job.

The order makes it safe against a kill at any instant: the submission is written to a file, then noted in each trial,
then handed to sbatch, then confirmed in the file. The next command looks up unconfirmed submissions by the job's name
(see `reconcile`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import UserError
from harness.launch.assignment import end_never_started
from harness.launch.base import Log
from harness.launch.slurm import acceptance, client, reconcile, submission
from harness.launch.slurm.bad_nodes import nodes_to_avoid
from harness.launch.slurm.job_start import JobEntry
from harness.launch.slurm.resources import JobArray, arrays, capped, python_command, sbatch_parameters, summary
from harness.launch.slurm.submission import Submission
from harness.launch.snapshot import Snapshot
from harness.launch.tasks import Todo, TrialTask, prepare
from harness.store import Store
from harness.sweep.launch.config import LaunchConfig
from harness.sweep.plan import Plan
from harness.units import counted
from harness.worker.signals import postponed_stop, time_limit

SBATCH_SECONDS = 120.0


class LimitReached(UserError):
    """SLURM takes no more jobs of this user until some have ended."""


@dataclass
class SubmitResult:
    """Numbers of trials: `submitted`, `taken` by a job or a worker already, `unknown` while squeue has a `problem`,
    and `waiting` since SLURM accepts no more jobs; `limit` is its message.

    `never_started`: ids of trials that are invalid now, since none of their jobs started them.
    """

    submitted: int = 0
    taken: int = 0
    unknown: int = 0
    problem: str = ""
    waiting: int = 0
    limit: str = ""
    job_ids: list[str] = field(default_factory=list)
    never_started: list[str] = field(default_factory=list)


def submit(
    plan: Plan,
    store: Store,
    tasks: Sequence[TrialTask],
    code: Snapshot,
    log: Log = print,
    partly: bool = False,
    tested: set[tuple[str, ...]] | None = None,
) -> SubmitResult:
    """Submits the open tasks of a plan as job arrays. The caller holds the run's lock.

    `partly`: at a limit on the jobs of a user, submits what fits and leaves the rest pending. `tested`: resources about
    which SLURM was asked before, see `acceptance`; new ones are added.
    Raises: UserError where sbatch is missing or refuses; what it did not accept is pending again.
    """
    acceptance.check_folder(store.path)
    for line in reconcile.confirm_all(store):
        log(line)
    found, queue = reconcile.sort_tasks(store, tasks)
    result = SubmitResult(0, len(found.taken), len(found.unknown), queue.problem)
    words = reconcile.last_words(store, queue, found.free)
    free = [task for task in found.free if not _has_had_its_chances(plan, task, words, result)]
    if not free:
        return result
    acceptance.check_commands()
    made = arrays(free, plan.launch, client.max_array_size())
    for line in acceptance.check(_shapes(made, plan.launch), set() if tested is None else tested):
        log(line)
    prepare(Todo(free), plan, code)
    exclude = {} if queue.problem else nodes_to_avoid(plan.launch, store, made, queue.live, code.path, log)
    cap, first = _room(store, plan.launch.array_parallelism, queue.live)
    batch = _Batch(plan, store, code.path, exclude, partly, words)
    with postponed_stop() as must_stop:  # until SLURM's answer to a submission is written down
        _submit_all(batch, capped(made, cap), first, result, log, must_stop)
    result.waiting = len(free) - result.submitted
    return result


def _has_had_its_chances(plan: Plan, task: TrialTask, words: Mapping[str, str], result: SubmitResult) -> bool:
    """Ends a trial as invalid for which too many jobs were submitted and none started it; returns whether it did."""
    trial = task.trial.trial_id
    if not end_never_started(task.folder, plan.launch.max_resubmissions, words.get(trial, "SLURM does not say why")):
        return False
    result.never_started.append(trial)
    return True


def _shapes(made: Sequence[JobArray], launch: LaunchConfig) -> Iterator[tuple[dict[str, object], str]]:
    """Yields the parameters of each array by which SLURM decides, and its resources as text."""
    for array in made:
        yield sbatch_parameters(array, launch, "", Path(), Path(), ()), summary(array)


def _room(store: Store, cap: int | None, live: set[str]) -> tuple[int | None, str]:
    """Returns (jobs that may run alongside those of earlier submissions, ids to wait for where there is no room)."""
    if cap is None or len(live) < cap:
        return (None if cap is None else cap - len(live)), ""
    found = (submission.find(store, token) for token in sorted({reconcile.token_of(job) for job in live}))
    return cap, ":".join(noted.job_id for noted in found if noted is not None and noted.job_id)


@dataclass(frozen=True)
class _Batch:
    """What all arrays of a command have in common.

    `exclude`: partition -> nodes. `words`: trial id -> what became of its last job.
    """

    plan: Plan
    store: Store
    code: Path
    exclude: Mapping[str | None, Sequence[str]]
    partly: bool
    words: Mapping[str, str]


def _submit_all(
    batch: _Batch, made: Sequence[JobArray], first: str, result: SubmitResult, log: Log, must_stop: Callable[[], bool]
) -> None:
    for number, whole in enumerate(made):
        if must_stop():
            log(f"stopped after {counted(result.submitted, 'trial')}; the same command continues")
            return
        before = first if whole.after is None else result.job_ids[number - whole.after]
        noted, array, result.limit = _submit_what_fits(batch, whole, before)
        if noted is not None:
            result.job_ids.append(noted.job_id)
            trials = sum(len(job) for job in array.jobs)
            result.submitted += trials
            what = "array" if noted.is_array else "job"
            size = f"{counted(trials, 'trial')} in {counted(len(array.jobs), 'job')}"
            log(f"submitted {what} {noted.job_id}: {size} ({summary(array)})")
        if result.limit:
            return


def _submit_what_fits(batch: _Batch, array: JobArray, before: str) -> tuple[Submission | None, JobArray, str]:
    """Returns (submission or None, the part of the array that it has, the limit that was met).

    SLURM accepts an array whole or not at all, so one that is too large is halved until it fits.
    """
    limit = ""
    while True:
        noted = _write_intent(batch, array)
        try:
            exclude = batch.exclude.get(array.resources.partition, ())
            _hand_over(batch.store, noted, array, batch.plan.launch, exclude, before)
            return noted, array, limit
        except LimitReached as error:
            if not batch.partly:
                raise
            limit, half = str(error), array.jobs[: len(array.jobs) // 2]
        if not half:
            return None, array, limit
        array = replace(array, jobs=half, limit=min(array.limit, len(half)))


def _write_intent(batch: _Batch, array: JobArray) -> Submission:
    """Writes the submission file, and notes the job in each trial."""
    plan, store, token = batch.plan, batch.store, submission.new_token()
    every = [task.trial for job in array.jobs for task in job]
    noted = Submission(
        token=token,
        name=f"{plan.name}.{token}",
        trials=[[task.trial.trial_id for task in job] for job in array.jobs],
        labels={trial.trial_id: f"{trial.label}, seed {trial.seed}" for trial in every},
        code=str(batch.code),
        setup=plan.launch.setup,
        nodes=array.resources.nodes or 1,
        max_restarts=plan.launch.max_restarts,
        num_workers=plan.launch.num_workers,
        time_limit_minutes=plan.launch.time_limit_minutes,
        stall_minutes=plan.launch.stall_minutes,
        warm_workers=plan.launch.warm_workers,
    )
    submission.write(store, noted)
    reconcile.assign(store, noted, batch.words)
    return noted


def _hand_over(
    store: Store, noted: Submission, array: JobArray, launch: LaunchConfig, exclude: Sequence[str], before: str
) -> None:
    """Calls sbatch and confirms the submission. Raises: UserError where SLURM did not accept it, or does not answer."""
    folder = (store.path / "jobs" / noted.token).resolve()
    parameters = sbatch_parameters(array, launch, noted.name, folder, Path(noted.code), exclude)
    if before:
        parameters["dependency"] = f"afterany:{before}"
    try:
        noted.job_id = _sbatch(folder, parameters, len(noted.trials))
    except Exception as error:  # of submitit or sbatch: SLURM may have accepted the job nevertheless
        _after_failure(store, noted, error)
        return
    noted.state = "submitted"
    submission.write(store, noted)


def _sbatch(folder: Path, parameters: dict[str, object], number: int) -> str:
    """Returns SLURM's id of the new job or array."""
    import submitit

    executor = submitit.SlurmExecutor(folder / "log", max_num_timeout=reconcile.NO_LIMIT, python=python_command())
    executor.update_parameters(**parameters)
    with client.scrubbed_environment(parameters), time_limit(SBATCH_SECONDS, "sbatch"):
        jobs = executor.submit_array([JobEntry(str(folder))] * number)
    return str(jobs[0].job_id).partition("_")[0]


def _after_failure(store: Store, noted: Submission, error: Exception) -> None:
    """Checks by name whether SLURM accepted the job despite the error. Raises: UserError where it did not."""
    line = reconcile.confirm(store, noted)
    if noted.state == "submitted":
        return
    reason = " ".join(str(error).split()) or type(error).__name__
    if noted.state == "abandoned":
        kind = LimitReached if acceptance.SUBMIT_LIMIT.search(reason) else UserError
        raise kind(
            f"sbatch did not accept the job: {reason}. Its trials are pending again; the same command continues."
        )
    raise UserError(f"sbatch: {reason}. {line}. Run the same command again once squeue answers.")
