"""A seeded part of the campaign, and its judges: each can find something wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness.reports import table as report_table
from harness.reports.common import code_versions

from harness import reports
from harness.cli import main
from harness.launch import overview
from harness.store import Store, TrialFolder
from tests.damage.scene import in_process
from tests.e2e import scores
from tests.faults.concurrency import judge as judge_module
from tests.faults.concurrency.campaign import play, sequence, table, wrong
from tests.faults.concurrency.faults import KINDS, Disturbed, ended
from tests.faults.concurrency.judge import Judge, Shown, states
from tests.faults.concurrency.traced import Traced, identity_of

SEED = 1


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a scene whose sweep was not disturbed; it runs in this process, which is faster."""
    scene = Traced(tmp_path_factory.mktemp("calm") / "scene")
    with in_process(only_tables=True), chdir(scene.folder):
        assert main(["sweep", str(scene.sweep), *scene.arguments]) == 0
    return scene.folder


@pytest.fixture
def finished(calm: Path, tmp_path: Path) -> tuple[Traced, Judge]:
    """A copy of that scene, and a judge who has seen it."""
    shutil.copytree(calm, tmp_path / "scene")
    scene = Traced(tmp_path / "scene")
    judge = Judge(scene)
    assert judge.look() == []
    return scene, judge


def test_ten_faults_at_once_lose_nothing_and_leave_no_code_unmarked(calm: Path, tmp_path: Path) -> None:
    undisturbed = scores(calm / "runs/mini")
    found = play(tmp_path / "scene", sequence([*KINDS], SEED, 0, 10), str(SEED), undisturbed, print)
    assert wrong(found) == []
    assert len(found["given"]) == 10
    assert found["num_done"] == len(undisturbed) == 4


def test_a_number_gives_the_same_faults_again() -> None:
    kinds = [*KINDS]
    assert sequence(kinds, 3, 0, 10) + sequence(kinds, 3, 10, 30) == sequence(kinds, 3, 0, 40)
    assert sequence(kinds, 3, 0, 40) != sequence(kinds, 4, 0, 40)
    assert set(sequence(kinds, 5, 0, len(kinds))) == set(kinds), "each kind once a turn"


def first_trial(scene: Traced) -> TrialFolder:
    return Store(scene.run).trials()[0]


def shown(scene: Traced, capsys: pytest.CaptureFixture[str]) -> Shown:
    """Returns what the report and `status` show, run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports, "modules", lambda: [report_table])  # no figures
        reports.write_all(scene.run, force=True)
    assert main(["status", str(scene.run)]) == 0
    return Shown.of(scene.run, capsys.readouterr().out)


def of_another_code(scene: Traced, revisions: tuple[int, int] = (1, 0)) -> str:
    """Makes a trial one that another revision of the code trained; returns its id."""
    trial = first_trial(scene)
    record = trial.record()
    assert record is not None
    record.code = identity_of(revisions)
    trial.write_record(record)
    return trial.trial_id


def lost(scene: Traced) -> None:
    first_trial(scene).record_file.unlink()


def trained_again(scene: Traced) -> None:
    record = first_trial(scene).record()
    assert record is not None
    record.finished_at = "2001-01-01T00:00:00+00:00"
    first_trial(scene).write_record(record)


@pytest.mark.parametrize(("plant", "complaint"), [(lost, "its record is gone"), (trained_again, "trained twice")])
def test_the_judge_sees_a_record_that_is_lost_or_new(
    finished: tuple[Traced, Judge], plant: Callable[[Traced], None], complaint: str
) -> None:
    scene, judge = finished
    plant(scene)
    assert [complaint in fault for fault in judge.look()] == [True]


def test_the_judge_sees_a_code_that_no_record_names_and_a_row_without_its_mark(
    finished: tuple[Traced, Judge], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, judge = finished
    undisturbed = scores(scene.run)
    assert judge.at_the_end(undisturbed, shown(scene, capsys)) == []
    trial_id = first_trial(scene).trial_id
    judge.traces[trial_id] = {(0, 0): 40, (1, 0): 20}  # the record names (0, 0) alone
    faults = judge.at_the_end(undisturbed, shown(scene, capsys))
    assert [fault.split(":")[0] for fault in faults] == ["unmarked"] * 4, "in the record, in both outputs"
    assert f"{trial_id}: revision (1, 0) trained it" in faults[0]
    judge.traces[trial_id] = {(1, 0): 60}
    assert of_another_code(scene) == trial_id
    assert judge.at_the_end(undisturbed, shown(scene, capsys)) == [], "both codes are named and marked"
    with monkeypatch.context() as patch:
        patch.setattr(code_versions, "row_marks", lambda of: [])
        patch.setattr(code_versions, "warnings", lambda of: [])
        patch.setattr(overview, "several_codes", lambda found: [])
        faults = judge.at_the_end(undisturbed, shown(scene, capsys))
    assert ["the report has no" in fault or "the status has no" in fault for fault in faults] == [True, True, True]
    judge.traces[trial_id] = {(1, 0): 59}
    assert ["59 steps" in fault for fault in judge.at_the_end(undisturbed, shown(scene, capsys))] == [True]


def test_the_judge_sees_what_is_left_wrong_or_dishonest(
    finished: tuple[Traced, Judge], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, judge = finished
    before, trial = shown(scene, capsys), first_trial(scene)
    (trial.path / ".status.json.1.tmp").touch()
    trial.note_attempt(stage="train")
    trial.note_attempt(ended="queued")
    assert sorted(fault.split(":")[0] for fault in judge.at_the_end({}, before)) == ["left behind", "twice", "wrong"]
    asleep = SimpleNamespace(folder=trial, status="asleep")
    monkeypatch.setattr(judge_module, "standings", lambda store, plan: [asleep])
    assert ["asleep" in fault for fault in states(scene.run)] == [True]


def test_a_command_that_hangs_dies_or_shows_its_inside_is_a_fault(tmp_path: Path) -> None:
    disturbed = Disturbed(Traced(tmp_path))
    with open(tmp_path / "said", "wb") as said:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=said)
    disturbed.running.append((process, tmp_path / "said"))
    assert [text.split(":")[0] for text in ended(*disturbed.wait(process, 0.1), "it")] == ["hang"]
    assert [text.split(":")[0] for text in ended(-9, "", "it")] == ["death"]
    text = "Traceback (most recent call last)\n"
    assert [fault.split(":")[0] for fault in ended(1, text, "it")] == ["traceback"]
    assert [*ended(2, "refused", "it")] == []


def test_the_table_counts_every_fault_once() -> None:
    given = [{"kind": "edit", "wrong": []}, {"kind": "fork", "wrong": ["hang: x"]}]
    text = table([{"given": given, "at_the_end": ["twice: y"], "seconds": 3, "num_done": 4}])
    rows = {line.split()[0]: line.split()[-3:] for line in text.splitlines()[1:-1]}
    assert rows["fork"] == ["1", "1", "0"]
    assert rows["all"] == ["2", "1", "1"]
    assert text.endswith("1 rounds, 2 faults, 4 trials done, 3 s")
