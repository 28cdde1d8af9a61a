"""`status`: where the trials of a run stand."""

from __future__ import annotations

import argparse
from collections import Counter

from harness.cli import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_run(parser)
    parser.add_argument("--all", action="store_true", help="list finished trials too")


def run(parsed: argparse.Namespace) -> int:
    from harness.launch.todo import state_of
    from harness.store import Store

    store = Store(parsed.run)
    plan = store.plan()
    counts: Counter[str] = Counter()
    for row in plan.rows:
        for seed, trial_id in row.trials.items():
            folder = store.trial(trial_id)
            status, message = state_of(folder)
            counts[status] += 1
            if status == "done" and not parsed.all:
                continue
            written = folder.written_status()
            where = f" step {written.step}/{written.num_steps}" if status == "running" and written.num_steps else ""
            print(f"{status:9s} {trial_id}  {row.label}, seed {seed}{where}{': ' + message if message else ''}")
            if status in ("failed", "killed", "lost"):
                for line in folder.log_tail(3):
                    print(f"          | {line}")
    asked = {trial_id for row in plan.rows for trial_id in row.trials.values()}
    stale = [folder.trial_id for folder in store.trials() if folder.trial_id not in asked]
    print(f"{plan.sweep}: " + ", ".join(f"{number} {status}" for status, number in counts.most_common()))
    if stale:
        print(f"{len(stale)} trials are no longer asked for by the sweep (`clean --stale` removes them)")
    return 0
