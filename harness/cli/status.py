"""`status`: where the trials of a run stand."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.common import arguments
from harness.units import counted

if TYPE_CHECKING:
    from harness.launch.overview import Standing
    from harness.store import Store

NUM_LOG_LINES = 3
NOT_IN_SLURM = "its job is not in SLURM any more; the sweep command submits it again"
NUM_JOB_LINES = 6  # srun has the last word in it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument("--all", action="store_true", help="list finished trials too")
    parser.add_argument("--json", action="store_true", help="one JSON object a trial, finished ones too")


def run(parsed: argparse.Namespace) -> int:
    from harness.launch.overview import no_longer_asked, standings, tally
    from harness.launch.parts import parts_of
    from harness.launch.stranded import without_job

    store, *searched = parts_of(parsed.run)
    plan = store.plan()
    parts = [(part, list(standings(part, part.plan()))) for part in (*searched, store)]
    if parsed.json:
        for standing in [standing for _, found in parts for standing in found]:
            print(json.dumps(_as_json(standing)))
        return 0
    for part, found in parts:
        chosen_from = part is not store and plan.rows  # how its trials ended, the report of the search says
        shown = [item for item in found if item.status != "done" and (item.is_open or not chosen_from)]
        gone = {item.folder.trial_id for item in without_job(part, shown) or []}
        for standing in found if parsed.all else shown:
            _show(part, standing, is_gone=standing.folder.trial_id in gone)
        print(f"{plan.sweep}{', its search' * (part is not store)}: {tally(found) or 'no trials yet'}")
    stale = no_longer_asked(store, plan)
    if stale:
        print(f"no longer asked for by the sweep: {counted(len(stale), 'trial')} (`clean --stale` removes them)")
    return 0


def _show(store: Store, standing: Standing, *, is_gone: bool) -> None:
    from harness.launch.overview import TROUBLED

    print(standing.text())
    lines = standing.folder.log_tail(NUM_LOG_LINES) if standing.status in TROUBLED else []
    if standing.status in ("queued", "lost", "preempted") and standing.written.job:
        lines += _words_of_job(store, standing.written.job) or [NOT_IN_SLURM] * is_gone
    for line in lines:
        print(f"          | {line}")


def _words_of_job(store: Store, job: str) -> list[str]:
    """What a SLURM job that ended left of itself: its trial waits for something that will not come."""
    from harness.launch.slurm import is_confirmed, job_fate, job_log_tail

    if not is_confirmed(store, job):
        return ["sbatch was not seen to take its job; the sweep command finds out once squeue answers, or: cancel"]
    fate = job_fate(store, job)
    if not fate.startswith("ended"):
        return []
    return [f"its job {fate}; the sweep command submits it again", *job_log_tail(store, job, NUM_JOB_LINES)]


def _as_json(standing: Standing) -> dict[str, object]:
    written, folder = standing.written, standing.folder
    return {
        "trial_id": folder.trial_id,
        "label": standing.label,
        "seed": int(standing.seed),
        "status": standing.status,
        "message": standing.message,
        "stage": written.stage,
        "step": written.step,
        "num_steps": written.num_steps,
        "num_starts": written.num_starts,
        "node": written.node,
        "job": written.job,
        "folder": str(Path(folder.path)),
    }
