"""A seeded part of the campaign, and its judges: each can find something wrong."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from harness.store import Store
from tests.e2e import accuracy_table, harness, records
from tests.faults.campaign import table
from tests.faults.kills import Kill, Observer, Setting, disturb
from tests.faults.scene import Finished, Scene, faults_at_the_end, results
from tests.reports.factory import edit

SEED, NUM_KILLS = 25, 10


def test_ten_kills_of_workers_pool_and_group_end_in_the_same_bits(tmp_path: Path, undisturbed: Path) -> None:
    scene, setting = Scene(tmp_path / "scene"), Setting()
    try:
        with Observer(scene.run) as observer:
            events = list(disturb(scene, setting, random.Random(SEED), NUM_KILLS, observer))
            if scene.process is not None:
                scene.process.wait(timeout=300)
            faults = [event for event in events if isinstance(event, str)] + scene.finish()
        assert faults + observer.faults + faults_at_the_end(scene, results(undisturbed)) == []
    finally:
        scene.end()
    kills = [event for event in events if isinstance(event, Kill)]
    assert len(kills) >= NUM_KILLS // 2, "the sweep was through before it was disturbed"
    assert observer.num_checks > 10
    assert any(record["training"]["num_resumes"] > 0 for record in records(scene.run).values()), "none hit training"
    assert harness("report", scene.run, cwd=scene.folder).returncode == 0
    assert accuracy_table(scene.run) == accuracy_table(undisturbed)
    assert any("_top1_" in column for column in accuracy_table(scene.run)[0])


def test_the_judges_of_files_see_what_was_lost_repeated_or_left(place: Path, undisturbed: Path) -> None:
    scene, expected = Scene(place), results(undisturbed)
    first, second = Store(scene.run).trials()
    finished = Finished(scene.run)
    assert finished.look() + faults_at_the_end(scene, expected) == []
    record = json.loads(first.record_file.read_text())
    (first.path / ".status.json.1.tmp").touch()
    first.note_attempt(stage="train")
    first.note_attempt(ended="queued", by_another=True)
    assert [fault.split(":")[0] for fault in faults_at_the_end(scene, expected)] == ["left behind"]
    first.note_attempt(stage="train")
    first.note_attempt(ended="queued")
    second.checkpoint_file.write_bytes(first.checkpoint_file.read_bytes())
    assert [fault.split(":")[0] for fault in faults_at_the_end(scene, expected)] == [
        "left behind", "the results are not those of the undisturbed sweep", first.trial_id
    ]  # fmt: skip
    edit(first.record_file)
    assert ["again after it was done" in fault for fault in finished.look()] == [True]
    record["training"]["final_loss"] += 1e-9
    edit(first.record_file, training=record["training"])
    assert ["trained twice" in fault for fault in finished.look()] == [True]
    first.record_file.write_text("{")
    second.record_file.unlink()
    assert sorted("is gone" in fault for fault in finished.look()) == [False, True]


@pytest.mark.parametrize(
    ("looks", "complaint"),
    [
        ([[("a", "running")], [("a", "done")], [("a", "lost")]], "a: was done and is lost"),
        ([[("a", "done"), ("a", "running")]], "shown twice"),
        ([[("a", "asleep")]], "no such status: asleep"),
    ],
)
def test_the_observer_detects_contradictions(
    tmp_path: Path, looks: list[list[tuple[str, str]]], complaint: str
) -> None:
    observer = Observer(tmp_path)
    for look in looks:
        observer.judge(look)
    assert any(complaint in fault for fault in observer.faults)


def test_the_table_counts_every_kill_once() -> None:
    kills = [{"target": "pool", "phase": "measure"}, {"target": "worker", "phase": "measure"}]
    text = table([{"kills": kills, "faults": ["x: lost"], "seconds": 3, "looks": 9}])
    assert text.splitlines()[2].split() == ["all", "1", "1", "2"]
    assert text.endswith("1 faults\nx: lost")
