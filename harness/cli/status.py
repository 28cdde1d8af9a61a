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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument("--all", action="store_true", help="list trials that are done, too")
    parser.add_argument("--json", action="store_true", help="one JSON object a trial, those that are done too")


def run(parsed: argparse.Namespace) -> int:
    from harness.launch.overview import no_longer_planned, standings, tally, without_job
    from harness.store import parts_of

    store, *searched = parts_of(parsed.run)
    plan = store.plan()
    parts = [(part, list(standings(part, part.plan()))) for part in (*searched, store)]
    if parsed.json:
        for standing in [standing for _, found in parts for standing in found]:
            print(json.dumps(_as_json(standing)))
        return 0
    for part, found in parts:
        chosen_from = part is not store and plan.rows  # the report of the search shows how its trials ended
        shown = [item for item in found if item.status != "done" and (item.is_open or not chosen_from)]
        gone = {item.folder.trial_id for item in without_job(part, shown) or []}
        for standing in found if parsed.all else shown:
            _show(part, standing, is_gone=standing.folder.trial_id in gone)
        print(f"{plan.sweep}{', its search' * (part is not store)}: {tally(found) or 'no trials yet'}")
    stale = no_longer_planned(store, plan)
    if stale:
        print(f"no longer asked for by the sweep: {counted(len(stale), 'trial')} (`clean --stale` removes them)")
    return 0


def _show(store: Store, standing: Standing, *, is_gone: bool) -> None:
    from harness.launch.overview import TROUBLED

    print(standing.text())
    lines = standing.folder.log_tail(NUM_LOG_LINES) if standing.status in TROUBLED else []
    if standing.status in ("queued", "lost", "preempted") and standing.written.job:
        lines += _job_lines(store, standing.written.job, is_gone=is_gone)
    for line in lines:
        print(f"          | {line}")


def _job_lines(store: Store, job: str, *, is_gone: bool) -> list[str]:
    """Why the job of a trial will not start the trial, as far as that is known."""
    from harness.launch import launchers

    state = launchers.describe(store, job)
    if state.warning:
        return [state.warning, *state.log_tail]
    title = launchers.titles_of([job])
    return [f"its job is not in {title} any more; the sweep command submits it again"] if is_gone else []


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
