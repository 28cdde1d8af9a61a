"""Random damage of every file of a finished run: an honest state, the same numbers, nothing lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from harness.cli import main
from harness.errors import UserError
from harness.launch.tasks import state_of
from harness.store import Store
from harness.store.load import load
from harness.tune.journal import open_journal
from tests.damage.finished import differences, finished_run, shown
from tests.damage.mutations import damage

NUM_EACH = 15


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("damage"))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run", copy_function=shutil.copy2)
    return tmp_path / "run"


def commands_end_well(run: Path) -> None:
    """Runs the commands that read a run; an exception other than a UserError ends the test."""
    for words in (["status", str(run), "--all"], ["doctor", str(run)], ["retry", str(run)]):
        assert main(words) in (0, 1, 2), words


def message_of(call: Callable[[], object]) -> str:
    """Returns the message with which a call ends; "" if it succeeds."""
    try:
        call()
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("seed", range(NUM_EACH))
def test_a_damaged_record_costs_its_own_trial(run: Path, seed: int) -> None:
    random, before = Random(seed), shown(load(run))
    trial = random.choice(Store(run).trials())
    content = trial.record_file.read_bytes()
    name, damaged = damage(content, random)
    trial.record_file.write_bytes(damaged)
    changed, invalid = differences(before, run)
    assert changed == invalid, name
    assert invalid <= {trial.trial_id}
    assert state_of(trial, verify=True).status == ("invalid" if invalid else "done")
    commands_end_well(run)
    if invalid:
        assert [path.read_bytes() for path in run.glob("trash/*/record.json")] == [damaged]
        assert state_of(trial).status == "pending"


@pytest.mark.parametrize("seed", range(NUM_EACH))
def test_a_damaged_status_changes_no_number(run: Path, seed: int) -> None:
    random, before = Random(seed), shown(load(run))
    trial = random.choice(Store(run).trials())
    trial.status_file.write_bytes(damage(trial.status_file.read_bytes(), random)[1])
    assert differences(before, run) == (set(), set())
    assert state_of(trial).status == "done"
    assert state_of(trial).code == before[trial.trial_id]["code"], "else a finished trial counts as stale"
    commands_end_well(run)


@pytest.mark.parametrize("seed", range(NUM_EACH))
def test_a_damaged_plan_or_search_is_one_message(run: Path, seed: int) -> None:
    random, before, plan = Random(seed), shown(load(run)), Store(run).plan()
    path = run / random.choice(["plan.json", "tuning/studies.json"])
    whole = path.read_bytes()
    name, damaged = damage(whole, random)
    path.write_bytes(damaged)
    message = message_of(lambda: load(run))
    if message:
        assert str(path) in message
        assert "Run the sweep command again" in message
        assert main(["report", str(run)]) == 2
        assert path.name != "plan.json" or main(["clean", str(run), "--stale", "--yes"]) == 2
    else:
        assert differences(before, run) == (set(), set()), name
    commands_end_well(run)
    Store(run).write_plan(plan)  # as the sweep command does
    path.write_bytes(whole) if path.name != "plan.json" else None
    assert differences(before, run) == (set(), set())


@pytest.mark.parametrize("seed", range(NUM_EACH))
def test_a_damaged_journal_names_its_line_or_is_made_again(run: Path, seed: int) -> None:
    path = run / "optuna.journal"
    whole = path.read_bytes().splitlines()
    path.write_bytes(damage(path.read_bytes(), Random(seed), lines=True)[1])
    message = message_of(lambda: open_journal(run))
    if message:
        assert str(path) in message
        assert "Move the file away" in message
    else:
        assert path.read_bytes().splitlines() == whole[: len(path.read_bytes().splitlines())]
    commands_end_well(run)
