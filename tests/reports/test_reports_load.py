"""Reading a run folder: round trip, versions, and the messages for files that cannot be read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from harness.errors import UserError
from harness.record import SCHEMA_VERSION
from harness.running import _check_plan
from harness.store import Store, TrialFolder
from harness.store.load import NewerVersionError, load, read_plan, read_studies
from tests.reports.factory import save, window_run

ROOT = Path(__file__).resolve().parents[2]


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
    edit(trials / "r1-s0" / "record.json", schema_version=99)
    edit(trials / "r2-s0" / "record.json", trial_id="other")
    edit(trials / "r3-s0" / "record.json", surprise=1)
    with pytest.raises(UserError) as caught:
        load(folder)
    message = str(caught.value)
    assert len(caught.value.faults) == 4
    for row in range(4):
        assert str(trials / f"r{row}-s0") in message
    assert f"schema version 99; this version of the harness reads up to {SCHEMA_VERSION}. Update the harness" in message
    assert "does not know: surprise. Update the harness" in message
    assert "run the sweep again" in message


READERS: dict[str, Callable[[Path], object]] = {
    "plan.json": read_plan, "tuning/studies.json": read_studies, "trials/r0-s0/record.json": load,
    "trial": lambda run: TrialFolder(run / "trials/r0-s0").record(), "store": lambda run: Store(run).plan(),
}  # fmt: skip
FILES = {"trial": "trials/r0-s0/record.json", "store": "plan.json"}
DAMAGES = [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b"{}", b'{"schema_version": null}',
           b'{"schema_version": "1"}', b'{"schema_version": true}', b'{"schema_version": 0}', b'{"schema_version": 1}']  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", [*DAMAGES, b'{"schema_version": 99}'], ids=range(13))
def test_one_rule_for_every_reader(tmp_path: Path, reader: str, content: bytes) -> None:
    path = save(window_run(), tmp_path) / FILES.get(reader, reader)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(str(path))) as caught:
        READERS[reader](tmp_path)
    newer = content not in DAMAGES
    assert isinstance(caught.value, NewerVersionError) == (newer and reader != "trials/r0-s0/record.json")
    for fault in caught.value.faults:
        assert ("Update the harness" if newer else "damaged") in fault.message
        assert newer or "run the sweep" in fault.message.lower()


def test_files_of_an_older_version_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(window_run(), tmp_path)
    monkeypatch.setattr("harness.store.load.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    assert load(folder).plan.schema_version == SCHEMA_VERSION
    assert len(load(folder).records) == 20


def test_a_plan_of_a_newer_version_is_not_replaced(tmp_path: Path) -> None:
    folder = save(window_run(), tmp_path)
    edit(folder / "plan.json", schema_version=99)
    with pytest.raises(NewerVersionError):
        _check_plan(Mock(), Store(folder), Mock(replace_plan=False))


def test_nothing_else_reads_these_files() -> None:
    """Model.model_validate of a plan, record or study stands in store/load.py only."""
    for path in [*(ROOT / "harness").rglob("*.py"), *(ROOT / "reports").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"\b(?:PlanFile|Record|TuningFile)\.(?:model_validate|parse|model_construct)\w*", text)
        assert not found, f"{path}: {found}"


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
