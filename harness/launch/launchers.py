"""The one door to everything that starts trials: launchers by name, and the launcher of each job that a trial names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from harness.errors import UserError, did_you_mean, worded
from harness.launch.assignment import dropped_trials
from harness.launch.base import Cancelled, JobState, Launcher, LaunchRequest, Log, Owners
from harness.launch.doctor import Finding
from harness.launch.tasks import TrialTask, state_of
from harness.record import OPEN_STATUSES
from harness.store import Store, TrialFolder
from harness.sweep.launch.config import LaunchConfig
from harness.sweep.launch.launcher_names import launcher_names, load

__all__ = ["LaunchRequest", "Launcher", "cancel", "end_dropped", "launcher", "launcher_names", "launcher_of", "owners"]

UNPREFIXED = "slurm"  # the launcher of jobs that are not named `LAUNCHER:...`
CANCEL_SECONDS = 60.0


def launcher(name: str) -> Launcher:
    """Returns the launcher of that name. Raises: UserError for an unknown name, or a package that cannot be used."""
    if name not in launcher_names():
        known = launcher_names()
        raise UserError(f"no launcher {name}. Launchers: {', '.join(known)}.{did_you_mean(name, known)}")
    made = load(name)()
    if not isinstance(made, Launcher):
        raise UserError(f"launcher {name}: {type(made).__qualname__} is no subclass of harness.launch.base.Launcher.")
    return made


def name_of(job: str) -> str:
    """Returns the name of the launcher that a job belongs to, installed here or not."""
    match = re.match(r"([a-z][a-z0-9_-]*):", job)
    return match[1] if match else UNPREFIXED


def launcher_of(job: str) -> Launcher:
    """Returns the launcher that a job belongs to. Raises: UserError where that is not installed here."""
    name = name_of(job)
    if name not in launcher_names():
        raise UserError(f"job {job}: no launcher {name} is installed here. Install its package, or use that machine.")
    return launcher(name)


def owners(store: Store, folders: Sequence[TrialFolder]) -> Owners:
    """Returns which of these trials a worker or a job has, of any launcher."""
    found = Owners()
    for job_launcher, some in _by_launcher(folders, found):
        part = job_launcher.owners(store, some)
        found.taken |= part.taken
        found.unknown |= part.unknown
        found.reasons |= part.reasons
        found.problem = "; ".join(filter(None, [found.problem, part.problem]))
    return found


def _by_launcher(folders: Sequence[TrialFolder], found: Owners) -> Iterator[tuple[Launcher, list[TrialFolder]]]:
    """Yields each launcher with its trials; those that have no job, or whose launcher is missing, go to `found`."""
    groups: dict[str, tuple[Launcher, list[TrialFolder]]] = {}
    for folder in folders:
        status = folder.status()
        if not status.job:
            found.taken |= {folder.trial_id} if status.status == "running" else set()
            continue
        try:
            job_launcher = launcher_of(status.job)
        except UserError as error:
            found.unknown.add(folder.trial_id)
            found.problem = str(error)
            continue
        groups.setdefault(job_launcher.name, (job_launcher, []))[1].append(folder)
    yield from groups.values()


def without_owned(store: Store, tasks: Sequence[TrialTask], own: Launcher) -> list[TrialTask]:
    """Returns the tasks that no job of another launcher has, and reports the others.

    Raises: UserError where that leaves nothing to do.
    """
    with_job = [task.folder for task in tasks if _is_of_another(task, own)]
    found = owners(store, with_job) if with_job else Owners()
    left = found.taken | found.unknown
    if not left:
        return list(tasks)
    kept = [task for task in tasks if task.trial.trial_id not in left]
    titles = titles_of(folder.written_status().job for folder in with_job if folder.trial_id in left)
    why = f" as far as their files show ({found.problem})" if found.unknown else ""
    message = (
        f"{len(left)} trials have a {titles} job{why} and are left to it; "
        f"`python -m harness cancel {store.path}` takes them back."
    )
    if not kept:
        raise UserError(f"nothing to run here: {message}")
    print(message)
    return kept


def _is_of_another(task: TrialTask, own: Launcher) -> bool:
    job = task.folder.written_status().job
    return bool(job) and name_of(job) != own.name


def titles_of(jobs: Iterable[str]) -> str:
    """Returns the launchers of some jobs, as in messages to users."""
    return " or ".join(sorted({_title(job) for job in jobs}))


def _title(job: str) -> str:
    try:
        return launcher_of(job).title
    except UserError:
        return name_of(job)


def cancel(store: Store, folders: Sequence[TrialFolder], wait_s: float, log: Log = print) -> Cancelled:
    """Ends the jobs of open trials, whichever launcher has them; see `Launcher.cancel`.

    Raises: UserError for a job whose launcher is not installed here.
    """
    done = Cancelled()
    groups: dict[str, list[TrialFolder]] = {}
    for folder in folders:
        if state_of(folder).status not in OPEN_STATUSES:
            continue
        job = folder.written_status().job
        if job:
            groups.setdefault(launcher_of(job).name, []).append(folder)
        elif folder.is_held():
            done.elsewhere.append(folder.trial_id)
    for name, some in groups.items():
        done.add(launcher(name).cancel(store, some, wait_s, log))
    return done


def end_dropped(request: LaunchRequest) -> None:
    """Lists trials that have a job or a worker and that the plan no longer has; cancels them if the request says so.

    Raises: UserError where that fails.
    """
    found = dropped_trials(request.store, {trial.trial_id for trial in request.plan.trials})
    if not found:
        return
    for folder in found:
        print(f"no longer asked for: {folder.trial_id} ({folder.status().status})")
    if not request.cancel_dropped:
        said = f"{len(found)} trials go on though the sweep no longer asks for them; --cancel-dropped ends them."
        print(worded(said))
        return
    done = cancel(request.store, found, CANCEL_SECONDS)
    print(f"{len(done.trials)} of them cancelled")
    if done.problem:
        raise UserError(f"their jobs could not be cancelled: {done.problem}. Run the same command again.")


def describe(store: Store, job: str) -> JobState:
    """Returns what is known of a job; a launcher that is missing here is a warning."""
    try:
        return launcher_of(job).describe(store, job)
    except UserError as error:
        return JobState(warning=str(error))


def logs(store: Store, job: str) -> list[Path]:
    """Returns the logs of a job itself. Raises: UserError where its launcher is not installed here."""
    return launcher_of(job).logs(store, job)


def doctor(launch: LaunchConfig, runs: Path, wait_s: float) -> Iterator[Finding]:
    """Checks what every launcher needs, and that every launcher can be loaded."""
    for name in launcher_names():
        try:
            yield from launcher(name).doctor(launch, runs, wait_s)
        except UserError as error:
            yield Finding("problem", name, str(error), "repair or uninstall the package that offers it")
