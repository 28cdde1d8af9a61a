"""`harness.plan` and `harness.run`: a question becomes a plan, a plan becomes a folder of results."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data import data_identity
from harness.errors import UserError
from harness.registry import forget_changed, variant_names
from harness.running import RunOptions, run_plan
from harness.store.load import load
from harness.store.plan_file import PlanSource
from harness.sweep.plan import Plan, plan_sweep
from harness.sweep.sweep_file import find_sweep

if TYPE_CHECKING:
    from harness.launch.base import Launcher

PathLike = str | os.PathLike[str]
#: fields to set: `{"train.num_steps": 100}`, or `["train.num_steps=100"]` as on the command line
Settings = Mapping[str, Any] | Sequence[str] | None


@dataclass(frozen=True)
class SweepRun:
    """A run after `harness.run` returned.

    `exit_code` is 0 if every chosen trial is done or was submitted to a cluster (`is_submitted`), else 1.
    """

    path: Path
    exit_code: int
    is_submitted: bool = False

    @property
    def is_done(self) -> bool:
        """True if every chosen trial is done; for jobs of a cluster, if every trial of the run is done by now."""
        return self.exit_code == 0 and (not self.is_submitted or set(self.statuses()) == {"done"})

    def statuses(self) -> dict[str, int]:
        """Count the trials of the run by status, from its files as they are now."""
        return dict(Counter(status for status, _ in load(self.path).statuses.values()))

    def __repr__(self) -> str:
        found = ", ".join(f"{number} {status}" for status, number in self.statuses().items())
        return f"{self.path}: {found or 'no trial yet'}"


def plan(
    sweep: PathLike | Mapping[str, Any],
    *,
    set: Settings = None,
    variants: PathLike | Sequence[PathLike] = (),
    name: str | None = None,
) -> Plan:
    """Expand a sweep into trials and check every one of them. Nothing is run.

    Args:
        sweep: a sweep file, the name of a file in `sweeps/` or of a shipped sweep, or a dict with the same content.
        set: fields that replace those of the sweep, e.g. `{"train.num_steps": 100, "seeds": 2}`.
        variants: folders with more variant files.
        name: names the run of a dict (default: notebook). A file has its own name.

    Raises:
        UserError: with every fault of the sweep; a fault of a dict names its place, such as `vary[0].grid`.
    """
    return plan_for(sweep, set=set, variants=variants, name=name, runs_here=True)


def plan_for(
    sweep: PathLike | Mapping[str, Any],
    *,
    set: Settings = None,
    variants: PathLike | Sequence[PathLike] = (),
    name: str | None = None,
    runs_here: bool,
) -> Plan:
    """Plan as `plan` does. `runs_here`: refuse devices that this machine lacks, unless the sweep runs elsewhere."""
    forget_changed()
    source = sweep if isinstance(sweep, Mapping) else find_sweep(sweep)
    if name is not None and isinstance(source, Path):
        raise UserError(f"name={name!r}: a sweep file is named by its file. Leave it out.")
    folders = folders_of(variants)
    variant_names(folders)  # a wrong folder is one fault, however many rows look into it
    return plan_sweep(
        source, override_texts(set), name=name, data_identity=data_identity, variant_dirs=folders, runs_here=runs_here
    )


def run(
    plan: Plan | PathLike | Mapping[str, Any],
    *,
    launcher: str | None = None,
    jobs: int | None = None,
    runs: PathLike = "runs",
    only: str | Sequence[str] = (),
    time_budget_s: float | None = None,
    rerun_stale: bool = False,
    replace_plan: bool = False,
    cancel_dropped: bool = False,
    write_report: bool = True,
) -> SweepRun:
    """Run the open trials of a plan, then write the report. The same call continues after any interruption.

    Args:
        plan: a plan, or what `harness.plan` takes.
        launcher: name of the launcher that runs the trials (default: `launch.where` of the sweep). A cluster gets its
            jobs and the call returns at once.
        jobs: trials at once (default: one per core or GPU).
        runs: the folder of all runs; this one lies in `runs/<name of the plan>`.
        only: conditions that a trial must meet: `FIELD=VALUE`, `seed=N`, a row's label, the beginning of a trial id.
        time_budget_s: stop after these seconds, with all progress kept.
        rerun_stale: train finished trials again whose record was made by other code.
        replace_plan: take over a folder that holds the run of another question.
        cancel_dropped: end cluster jobs of trials that the sweep no longer asks for.
        write_report: write the report at the end.

    Raises:
        UserError: the plan is at fault, the folder is in use or holds the run of another question.
    """
    forget_changed()
    _check_numbers(jobs, time_budget_s)
    planned = at_launcher(plan if isinstance(plan, Plan) else _plan(plan), launcher)
    options = RunOptions(
        runs=Path(runs), variant_dirs=variant_dirs_of(planned), jobs=jobs, time_budget_s=time_budget_s,
        only=(only,) if isinstance(only, str) else tuple(only), cancel_dropped=cancel_dropped,
        replace_plan=replace_plan, rerun_stale=rerun_stale, write_report=write_report,
    )  # fmt: skip
    exit_code = run_plan(planned, options)
    return SweepRun(options.runs / planned.name, exit_code, is_submitted=launcher_of_plan(planned).detaches)


_plan = plan  # `run` has an argument of that name


def _check_numbers(jobs: int | None, time_budget_s: float | None) -> None:
    if jobs is not None and (not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1):
        raise UserError(f"jobs={jobs!r}: give a whole number of at least 1, or None for one per core or GPU.")
    if time_budget_s is not None and (not isinstance(time_budget_s, int | float) or not time_budget_s > 0):
        raise UserError(f"time_budget_s={time_budget_s!r}: give a number of seconds above 0, or None.")


def folders_of(variants: PathLike | Sequence[PathLike]) -> list[Path]:
    """Return the folders of an argument `variants`, which may be a single folder."""
    return [Path(folder) for folder in ([variants] if isinstance(variants, str | os.PathLike) else variants)]


def override_texts(settings: Settings) -> list[str]:
    """Return settings as `path=value` texts. Raises: UserError for a value that no sweep file can hold."""
    if settings is None or not isinstance(settings, Mapping):
        return list(settings or ())
    return [f"{path}={_text(path, value)}" for path, value in settings.items()]


def _text(path: str, value: Any) -> str:
    def refuse(item: Any) -> str:
        if isinstance(item, Path):
            return str(item)
        raise UserError(f"set: {path}: {type(item).__name__} is not allowed; give text, a number, a list or a dict")

    return json.dumps(value, ensure_ascii=False, default=refuse)


def launcher_of_plan(plan: Plan) -> Launcher:
    """Return the launcher that runs a plan."""
    from harness.launch.launchers import launcher

    return launcher(plan.launch.where)


def variant_dirs_of(plan: Plan) -> tuple[Path, ...]:
    """Return the folders with more variants of a plan."""
    return tuple(Path(folder) for folder in plan.source.variant_dirs)


def at_launcher(plan: Plan, launcher: str | None) -> Plan:
    """Return the plan for another launcher. It is planned again, since `device: auto` depends on the launcher."""
    if launcher is None or launcher == plan.launch.where:
        return plan
    return plan_again(plan.source, launcher)


def plan_again(source: PlanSource, launcher: str | None = None) -> Plan:
    """Plan again from the same source. The working directory must be that of the first time.

    Raises:
        UserError: the source is empty, or the sweep has a fault by now.
    """
    sweep = source.content if source.file is None else Path(source.file)
    if sweep is None:
        raise UserError("this plan has no source. Plan the sweep again with harness.plan.")
    overrides = [*source.overrides, *([f"launch.where={launcher}"] if launcher else [])]
    if launcher:
        overrides = [text for text in overrides[:-1] if not text.startswith("launch.where=")] + overrides[-1:]
    return plan(sweep, set=overrides, variants=source.variant_dirs, name=source.name)
