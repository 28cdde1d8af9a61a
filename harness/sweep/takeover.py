"""Checks that a run does not take over the folder of another question."""

from __future__ import annotations

import json
from typing import Any

from harness.errors import UserError
from harness.store import Store
from harness.store.plan_file import PlanSource
from harness.store.sealed.models import NewerVersionError, UnreadableError
from harness.sweep.plan import Plan


def check_takeover(plan: Plan, store: Store) -> None:
    """Check that the folder holds no other question, of which trials would be lost from the report.

    Raises:
        UserError: the folder's plan has another source, and trials that this plan does not have.
    """
    if not store.plan_file.exists():
        return
    try:
        old = store.plan()
    except (NewerVersionError, UnreadableError):
        raise
    except UserError:  # corrupt: it is replaced; the trials are stored separately
        return
    if not old.command or (old.command == plan.source.command() and _has_same_content(old.source, plan.source)):
        return
    asked = {trial.trial_id for trial in plan.trials}
    dropped = {trial for row in old.rows for trial in row.trials.values()} - asked
    if dropped:
        raise UserError(
            f"{store.path} holds the run of `{old.command}`; this command would take {len(dropped)} of its trials "
            f"out of the report. Choose another folder with --runs DIR, or add --replace-plan."
        )


def _has_same_content(old: PlanSource | None, new: PlanSource) -> bool:
    """Return whether two sources hold the same dict (a file may be edited). `launch:` cannot change a result."""

    def content(source: PlanSource) -> dict[str, Any]:
        found = json.loads(source.model_dump_json(include={"content"}))["content"] or {}
        return {key: value for key, value in found.items() if key != "launch"}

    return old is None or content(old) == content(new)
