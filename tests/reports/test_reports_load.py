"""Reading a run folder: what comes back, and what people are told when it cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.store.load import load
from tests.reports.factory import save, window_run


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run = window_run(num_failed=2)
    assert load(save(run, tmp_path)) == run


def test_a_trial_without_files_is_pending(tmp_path: Path) -> None:
    run = window_run()
    folder = save(run, tmp_path)
    trial = folder / "trials" / "r0-s0"
    for path in trial.iterdir():
        path.unlink()
    trial.rmdir()
    found = load(folder)
    assert found.statuses["r0-s0"] == ("pending", "")
    assert "r0-s0" not in found.records


def test_trials_that_the_plan_does_not_name_are_not_read(tmp_path: Path) -> None:
    folder = save(window_run(), tmp_path)
    (folder / "trials" / "old").mkdir()
    (folder / "trials" / "old" / "record.json").write_text("{broken")
    assert "old" not in load(folder).records


def test_all_broken_files_are_named_at_once(tmp_path: Path) -> None:
    folder = save(window_run(), tmp_path)
    trials = folder / "trials"
    (trials / "r0-s0" / "record.json").write_text('{"half": ')
    edit(trials / "r1-s0" / "record.json", schema_version=2)
    edit(trials / "r2-s0" / "record.json", trial_id="other")
    edit(trials / "r3-s0" / "record.json", surprise=1)
    with pytest.raises(UserError) as caught:
        load(folder)
    message = str(caught.value)
    assert len(caught.value.faults) == 4
    for row in range(4):
        assert str(trials / f"r{row}-s0") in message
    assert "schema_version: 2 was found; this program reads up to 1" in message
    assert "surprise" in message
    assert "run the sweep again" in message


def test_an_unreadable_status_is_only_a_missing_hint(tmp_path: Path) -> None:
    folder = save(window_run(), tmp_path)
    edit(folder / "trials" / "r4-s0" / "status.json", status="finished")
    assert load(folder).statuses["r4-s0"] == ("pending", "")


@pytest.mark.parametrize("content", [None, "", "[]", '{"schema_version": 1}', '{"schema_version": 9}'])
def test_a_folder_without_a_readable_plan_is_no_run(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "plan.json").write_text(content)
    with pytest.raises(UserError, match=r"plan\.json"):
        load(tmp_path)
