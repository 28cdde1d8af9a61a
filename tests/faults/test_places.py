"""Damaged files, odd names of folders, clocks that jump, commands that start together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.launch.overview import standings
from harness.launch.tasks import state_of
from harness.store import Store, TrialFolder, TrialStatus, exclusive_lock
from harness.store.plan_file import PlanSource
from tests.e2e import command, environment, harness, records, scores
from tests.faults.scene import results
from tests.reports.factory import edit

#: what may be left of a file: nothing, a part, other content, or content of another structure
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "binary": lambda content: b"\xff\xfe\x00" + os.urandom(40),
    "zeros": lambda content: bytes(len(content)),
    "list": lambda content: b"[1, 2]",
    "text": lambda content: b'"done"',
    "nested": lambda content: b"[" * 100_000,
    "other kinds": lambda content: json.dumps({"status": "running", "updated_at": "x", "num_starts": None}).encode(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_no_damage_makes_status_fail_or_an_unfinished_trial_finished(
    place: Path, damage: Callable[[bytes], bytes]
) -> None:
    store = Store(place / "runs/mini")
    plan, first = store.plan(), store.trials()[0]
    for name in ("attempts.jsonl", ".beat", "config.yaml", "status.json", "record.json"):  # one after the other
        file = first.path / name
        file.write_bytes(damage(file.read_bytes() if file.exists() else b'{"machine": "x", "pid": 1}'))
        shown = {item.folder.trial_id: item for item in standings(store, plan)}
        assert [item.text() for item in shown.values()]
        assert shown[first.trial_id].status == ("invalid" if name == "record.json" else "done")
        first.attempts()
    first.note_attempt(stage="train", pid=7)
    assert first.attempts()[-1]["pid"] == 7, "a torn line takes the next one with it"
    store.plan_file.write_bytes(damage(store.plan_file.read_bytes()))
    with pytest.raises(UserError, match="damaged"):
        store.plan()


def test_everything_but_the_records_may_be_damaged_at_once(place: Path, undisturbed: Path) -> None:
    run = place / "runs/mini"
    finished, again = Store(run).trials()
    again.record_file.unlink()
    for folder, kinds in ((finished, ("binary", "empty", "half")), (again, ("half", "binary", "zeros"))):
        for file in (folder.config_file, folder.status_file, folder.attempts_file):
            file.write_bytes(DAMAGES[kinds[0]](file.read_bytes()))
            kinds = kinds[1:] + kinds[:1]
    again.checkpoint_file.write_bytes(DAMAGES["half"](again.checkpoint_file.read_bytes()))
    (run / "plan.json").write_bytes(DAMAGES["half"]((run / "plan.json").read_bytes()))
    before = finished.record_file.read_bytes()
    done = harness("sweep", "mini.yaml", "--no-report", cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 to train, 0 to measure, 1 done" in done.stdout
    assert finished.record_file.read_bytes() == before
    assert results(run) == results(undisturbed)
    assert records(run)[again.trial_id]["training"]["num_resumes"] == 0, "half a checkpoint was used"


@pytest.mark.parametrize("is_old", [False, True], ids=["structured", "command only"])
def test_names_with_spaces_quotes_and_newlines(place: Path, undisturbed: Path, is_old: bool) -> None:
    odd = place / "a b 'c' \"d\"\n$(touch e) ;*"
    odd.mkdir()
    shutil.copytree(place / "runs", odd / "runs")
    shutil.copy(place / "mini.yaml", odd)
    run = odd / "runs/mini"
    first = Store(run).trials()[0]
    unmeasure(first)
    first.write_status(TrialStatus(status="running", stage="measure"))
    planned = Store(run).plan()
    source = PlanSource(file=str(odd / "mini.yaml"))
    planned.command, planned.source = source.command(), None if is_old else source
    Store(run).write_plan(planned)
    done = harness("retry", run, "--status", "lost", "--start", cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert scores(run) == scores(undisturbed)
    assert (run / "report/index.html").exists()
    assert harness("status", run, cwd=place).stdout.startswith("mini: trained 2/2, timed 2/2 (2 done)")
    assert not (place / "e").exists()


def unmeasure(trial: TrialFolder) -> None:
    """Takes the timings out of a record: the trial is trained and still to be measured."""
    costs = json.loads(trial.record_file.read_text())["costs"] | {"timings": None, "memory": None}
    edit(trial.record_file, costs=costs)


@pytest.mark.parametrize("jump_s", [-1e9, -86400.0, 86400.0, 1e9])
def test_a_clock_that_jumps_changes_no_state(place: Path, jump_s: float) -> None:
    store = Store(place / "runs/mini")
    done, other = store.trials()
    other.record_file.unlink()
    when = time.time() + jump_s
    for begun, expected in (("running", "lost"), ("preempted", "preempted"), ("pending", "pending")):
        other.write_status(TrialStatus(status=begun, stage="train"))
        _shift(store.path, when)
        assert state_of(done).status == "done"
        assert state_of(other).status == expected
    other.write_status(TrialStatus(status="running", stage="train", step=1, num_steps=2))
    with exclusive_lock(other.lock_file):
        _shift(store.path, when)
        shown = {item.folder.trial_id: item for item in standings(store, store.plan())}
        assert shown[other.trial_id].status == "running"
        assert "-" not in shown[other.trial_id].progress(), "an age below zero"


def _shift(run: Path, when: float) -> None:
    """All times of files, and those written in status files, become `when`."""
    for file in [path for path in run.rglob("*") if path.is_file()]:
        if file.name == "status.json":
            edit(file, updated_at=when)
        os.utime(file, (when, when))


def test_of_commands_that_start_together_one_works_and_the_others_say_so(place: Path, undisturbed: Path) -> None:
    run = place / "runs/mini"
    first = Store(run).trials()[0]
    unmeasure(first)
    together = [
        subprocess.Popen(command("sweep", "mini.yaml", "--no-report"), cwd=place, env=environment(), text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]  # fmt: skip
    told = [process.communicate(timeout=300)[1] for process in together]
    codes = [process.returncode for process in together]
    # a command that starts when the work is done finds nothing to do and succeeds
    assert 0 in codes
    assert set(codes) <= {0, 2}
    for code, text in zip(codes, told, strict=True):
        assert code == 0 or "another sweep command is running" in text
    assert scores(run) == scores(undisturbed)
    begun = [attempt["stage"] for attempt in first.attempts()]
    assert begun == ["train", "measure", "measure"], "measured once more, and once only"
