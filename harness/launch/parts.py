"""The stores of a run: its own, and that of its search where it has one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.store import Store
from harness.sweep.select import select_planned

TUNING = "tuning"  # the folder of a search in its run


def parts_of(run: Path) -> list[Store]:
    """The store of a run, and behind it that of its search, if it has one."""
    searched = Store(run / TUNING)
    return [Store(run), *([searched] if searched.plan_file.exists() else [])]


def select_parts(parts: Sequence[Store], conditions: Sequence[str]) -> list[list[str]]:
    """For each store the ids of its trials for which all conditions hold; without conditions all that it was asked for.

    Raises: UserError where no trial of any store satisfies them, with what is there.
    """
    found: list[list[str]] = []
    refused: list[UserError] = []
    for store in parts:
        plan = store.plan()
        try:
            found.append(select_planned(plan, conditions))
        except UserError as error:
            refused += [error] if plan.rows else []  # a plan that is not made yet has nothing to tell
            found.append([])
    if refused and not any(found):
        raise refused[0]
    return found
