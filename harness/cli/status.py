"""`status`: where the trials of a run stand."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.common import arguments
from harness.errors import UserError
from harness.text.clean import one_line
from harness.units import counted

if TYPE_CHECKING:
    from harness.launch.overview import JobAnswers, Standing
    from harness.store import Store

NUM_LOG_LINES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument("--all", action="store_true", help="list trials that are done, too")
    parser.add_argument("--json", action="store_true", help="one JSON object a trial, those that are done too")


def run(parsed: argparse.Namespace) -> int:
    from harness.launch.base import answers_within
    from harness.launch.overview import ANSWER_SECONDS, ask_about_jobs, no_longer_planned, several_codes, standings
    from harness.store import parts_of
    from harness.store.files import is_locked

    store, *searched = parts_of(parsed.run)
    plan = store.plan()
    parts = [(part, list(standings(part, part.plan()))) for part in (*searched, store)]
    with answers_within(ANSWER_SECONDS):
        answers = [ask_about_jobs(part, found) for part, found in parts]
    if parsed.json:
        for (_, found), answer in zip(parts, answers, strict=True):
            for standing in found:
                print(json.dumps(_as_json(standing, answer)))
        return 0
    for (part, found), answer in zip(parts, answers, strict=True):
        chosen_from = part is not store and plan.rows  # the report of the search shows how its trials ended
        shown = [item for item in found if item.status != "done" and (item.is_open or not chosen_from)]
        waits_for = "a free worker" if is_locked(part.lock_file) else "the sweep command"
        for standing in found if parsed.all else shown:
            _show(part, standing, answer, f"waits for {waits_for}")
        _print_summary(part, found, one_line(plan.sweep), is_search=part is not store)
        for line in several_codes(found) if part is store else ():
            print(one_line(line))
    for problem in dict.fromkeys(answer.problem for answer in answers if answer.problem):
        print(f"{problem.rstrip('.')}. Whether the jobs of these trials still wait is unknown.")
    if not plan.is_sealed:
        print("unsealed: files of an older version, which have no checksum that would show damage")
    stale = no_longer_planned(store, plan)
    if stale:
        print(f"no longer asked for by the sweep: {counted(len(stale), 'trial')} (`clean --stale` removes them)")
    return 0


def _print_summary(store: Store, found: list[Standing], sweep: str, *, is_search: bool) -> None:
    from harness.launch.overview import summary, with_time_left

    name = f"{sweep}{', its search' * is_search}"
    print(f"{name}: {with_time_left(*summary(store, found, timed=not is_search)) if found else 'no trials yet'}")


def _show(store: Store, standing: Standing, answer: JobAnswers, waits: str) -> None:
    from harness.launch.overview import TROUBLED

    print(standing.text() if standing.message or standing.status != "pending" else f"{standing.text()}: {waits}")
    lines = standing.folder.log_tail(NUM_LOG_LINES) if standing.status in TROUBLED else []
    if standing.status in ("queued", "lost", "preempted") and standing.written.job:
        lines += _job_lines(store, standing, answer)
    for line in lines:
        print(f"          | {line}")


def _job_lines(store: Store, standing: Standing, answer: JobAnswers) -> list[str]:
    """Return why the job of a trial waits, or will not start the trial, as far as that is known."""
    from harness.launch import launchers

    job, reason = standing.written.job, answer.reasons.get(standing.folder.trial_id, "")
    title = launchers.titles_of([job])
    number, lines = standing.written.num_submissions, []
    if number > 1 and standing.written.message:
        before = one_line(standing.written.message)
        lines = [f"submitted {number} times, and none of the jobs started it; the one before: {before}"]
    is_gone = standing.folder.trial_id in answer.gone_ids
    if not reason or is_gone:
        state = launchers.describe(store, job)
        if state.warning:
            return [*lines, state.warning, *state.log_tail]
    if is_gone:
        said = f" ({reason})" if reason else ""
        return [*lines, f"its job is not in {title} any more{said}; the sweep command submits it again"]
    return [*lines, f"in {title}: {reason}"] if reason else lines


def _as_json(standing: Standing, answer: JobAnswers) -> dict[str, object]:
    written, folder = standing.written, standing.folder
    if standing.is_trained and not written.num_steps:  # of an older version, or of a worker that was killed
        with suppress(UserError):  # a damaged record
            record = folder.record()
            written.step = written.num_steps = record.training.num_steps if record else 0
    return {
        "trial_id": folder.trial_id,
        "label": standing.label,
        "seed": int(standing.seed),
        "status": standing.status,
        "message": standing.message,
        "reason": answer.reasons.get(folder.trial_id, ""),
        "stage": written.stage,
        "step": written.step,
        "num_steps": written.num_steps,
        "num_starts": written.num_starts,
        "node": written.node,
        "job": written.job,
        "folder": str(Path(folder.path)),
    }
