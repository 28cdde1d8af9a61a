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
from harness.store import Store
from harness.store.load import load, read_plan, read_studies
from harness.store.sealed import seal
from harness.store.sealed.models import NewerVersionError
from harness.sweep.takeover import check_takeover
from tests.reports.factory import edit, save, saved_trial, window_run, with_ids

ROOT = Path(__file__).resolve().parents[2]


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run = with_ids(window_run(num_failed=2))
    assert load(save(window_run(num_failed=2), tmp_path)) == run


def test_a_trial_without_files_is_pending(tmp_path: Path) -> None:
    folder = save(window_run(), tmp_path)
    trial = saved_trial(folder)
    for path in trial.path.iterdir():
        path.unlink()
    trial.path.rmdir()
    found = load(folder)
    assert found.statuses[trial.trial_id] == ("pending", "")
    assert trial.trial_id not in found.records


def test_trials_that_the_plan_does_not_name_are_not_read(tmp_path: Path) -> None:
    folder = save(window_run(), tmp_path)
    (folder / "trials" / "old").mkdir()
    (folder / "trials" / "old" / "record.json").write_text("{broken")
    assert "old" not in load(folder).records


def test_all_files_of_a_newer_version_are_named_at_once(tmp_path: Path) -> None:
    folder = save(window_run(), tmp_path)
    trials = [saved_trial(folder, row) for row in range(3)]
    trials[0].record_file.write_text('{"half": ')
    edit(trials[1].record_file, schema_version=99)
    edit(trials[2].record_file, surprise=1)
    with pytest.raises(UserError) as caught:
        load(folder)
    message = str(caught.value)
    assert len(caught.value.faults) == 2
    for trial in trials[1:]:
        assert str(trial.record_file) in message
    assert f"schema version 99; this version of the harness reads up to {SCHEMA_VERSION}. Update the harness" in message
    assert "does not know: surprise. Update the harness" in message


READERS: dict[str, Callable[[Path], object]] = {
    "plan.json": read_plan, "tuning/studies.json": read_studies, "store": lambda run: Store(run).plan(),
    "trial": lambda run: Store(run).trials()[0].record(),
}  # fmt: skip
FILES = {"store": "plan.json"}
DAMAGES = [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b"{}", b'{"schema_version": null}',
           b'{"schema_version": "1"}', b'{"schema_version": true}', b'{"schema_version": 0}', b'{"schema_version": 1}',
           b'{"schema_version": 99}']  # fmt: skip
NEWER = json.dumps(seal.seal({"schema_version": 99})).encode()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", [*DAMAGES, NEWER], ids=range(14))
def test_one_rule_for_every_reader(tmp_path: Path, reader: str, content: bytes) -> None:
    folder = save(window_run(), tmp_path)
    path = Store(folder).trials()[0].record_file if reader == "trial" else folder / FILES.get(reader, reader)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(str(path))) as caught:
        READERS[reader](tmp_path)
    newer = content not in DAMAGES
    assert isinstance(caught.value, NewerVersionError) == newer
    for fault in caught.value.faults:
        assert ("Update the harness" if newer else "damaged") in fault.message
        assert newer or ("retry" if reader == "trial" else "Run the sweep") in fault.message


def test_files_of_an_older_version_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(window_run(), tmp_path)
    monkeypatch.setattr("harness.store.sealed.models.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    assert load(folder).plan.schema_version == SCHEMA_VERSION
    assert len(load(folder).records) == 20


def test_a_plan_of_a_newer_version_is_not_replaced(tmp_path: Path) -> None:
    folder = save(window_run(), tmp_path)
    edit(folder / "plan.json", schema_version=99)
    with pytest.raises(NewerVersionError):
        check_takeover(Mock(), Store(folder))


def test_nothing_else_reads_these_files() -> None:
    """Model.model_validate of a plan, record or study stands in store/load.py only."""
    for path in [*(ROOT / "harness").rglob("*.py"), *(ROOT / "reports").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"\b(?:PlanFile|Record|TuningFile)\.(?:model_validate|parse|model_construct)\w*", text)
        assert not found, f"{path}: {found}"


def test_an_unreadable_status_is_only_a_missing_hint(tmp_path: Path) -> None:
    trial = saved_trial(save(window_run(), tmp_path), row=4)
    edit(trial.status_file, status="finished")
    found = load(tmp_path)
    assert found.statuses[trial.trial_id] == ("pending", "its status file was damaged")
    assert trial.trial_id in found.records


@pytest.mark.parametrize("content", [None, "", "[]", '{"schema_version": 1}', '{"schema_version": 9}'])
def test_a_folder_without_a_readable_plan_is_no_run(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "plan.json").write_text(content)
    with pytest.raises(UserError, match=r"plan\.json"):
        load(tmp_path)
