"""`status`, `watch`, `retry` and `sweep --stale` read the files of a run."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.launch.overview import several_codes, standings
from harness.store import Store, TrialStatus
from tests.e2e import MINI, ROOT, harness, records, statuses, write_sweep

TINY = MINI.replace("num_steps: 8", "num_steps: 2")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    done = harness("sweep", write_sweep(folder, TINY), "--no-report", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def place(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def status_of(place: Path) -> dict[str, str]:
    done = harness("status", "runs/mini", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["trial_id"]: line["status"] for line in lines}


def test_a_status_is_believed_only_with_its_own_record(place: Path) -> None:
    first, second = sorted(records(place / "runs/mini"))
    record = place / "runs/mini/trials" / first / "record.json"
    record.write_text(record.read_text()[:100])
    (place / "runs/mini/trials" / second / "record.json").unlink()
    assert status_of(place) == {first: "invalid", second: "pending"}


def test_a_finished_trial_is_not_read_again(place: Path) -> None:
    store = Store(place / "runs/mini")
    for folder in store.trials():
        folder.record_file.write_text("no record at all")
        folder.write_status(TrialStatus(status="done", record_stamp=folder.record_stamp()))
    assert set(status_of(place).values()) == {"done"}


@pytest.mark.parametrize("is_old", [False, True], ids=["now", "of an older version"])
def test_json_has_the_steps_of_finished_trials(place: Path, is_old: bool) -> None:
    for folder in Store(place / "runs/mini").trials() if is_old else []:
        folder.write_status(TrialStatus(status="done", record_stamp=folder.record_stamp()))
    done = harness("status", "runs/mini", "--json", cwd=place)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["status"], line["step"], line["num_steps"]) for line in lines] == [("done", 2, 2)] * 2


def test_watch_ends_when_nothing_is_open(place: Path) -> None:
    done = harness("watch", "runs/mini", "--interval", "1s", cwd=place)
    assert (done.returncode, done.stdout) == (0, "trained 2/2, timed 2/2 (2 done)\n")


def test_retry_start_runs_just_what_it_was_asked_for(place: Path) -> None:
    store = Store(place / "runs/mini")
    lost, waiting = store.trials()
    for folder, status in ((lost, "running"), (waiting, "pending")):
        folder.record_file.unlink()
        folder.checkpoint_file.unlink()
        folder.write_status(TrialStatus(status=status))
    assert status_of(place) == {lost.trial_id: "lost", waiting.trial_id: "pending"}
    (place / "elsewhere").mkdir()
    done = harness("retry", "../runs/mini", "--status", "lost, timeout", "--start", cwd=place / "elsewhere")
    assert status_of(place) == {lost.trial_id: "done", waiting.trial_id: "pending"}, done.stdout + done.stderr


def test_retry_names_the_command_that_goes_on_with_this_folder(place: Path) -> None:
    nothing = harness("retry", "runs/mini", cwd=place).stdout
    assert "nothing to retry" in nothing
    (place / "runs").rename(place / "elsewhere")
    trial = Store(place / "elsewhere/mini").trials()[0]
    trial.record_file.unlink()
    trial.write_status(TrialStatus(status="failed", message="planted"))
    said = harness("retry", "elsewhere/mini", cwd=place).stdout
    command = said.split("To start them: ")[1].split("  (in ")[0].strip()
    assert f"--runs {place / 'elsewhere'}" in command
    done = harness(*shlex.split(command)[3:], "--no-report", cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert statuses(place / "elsewhere/mini")[trial.trial_id]["status"] == "done"


def test_retry_start_refuses_a_renamed_run_and_changes_nothing(place: Path) -> None:
    (place / "runs/mini").rename(place / "runs/renamed")
    folder = Store(place / "runs/renamed").trials()[0]
    folder.record_file.unlink()
    folder.write_status(TrialStatus(status="failed", message="for a reason"))
    done = harness("retry", "runs/renamed", "--start", cwd=place)
    assert done.returncode == 2
    assert "holds the run of mini" in done.stderr
    assert folder.written_status().message == "for a reason"


@pytest.mark.parametrize("stage", ["train", "measure"])
def test_a_late_worker_changes_nothing_that_is_finished(place: Path, stage: str) -> None:
    folder = Store(place / "runs/mini").trials()[0]
    before, stamp = folder.record_file.read_bytes(), folder.written_status().record_stamp
    done = harness("worker", folder.path, "--stage", stage, cwd=place)
    assert done.returncode == 0
    assert folder.record_file.read_bytes() == before
    assert (folder.written_status().status, folder.written_status().record_stamp) == ("done", stamp)
    assert folder.written_status().code


def test_a_trial_that_a_job_may_still_run_is_not_removed(place: Path) -> None:
    folder = Store(place / "runs/mini").trial("0123456789ab")
    folder.create({"trial": {}})
    folder.write_status(TrialStatus(status="queued", job="token/0"))
    assert "its job token/0 may still run it" in harness("clean", "runs/mini", "--stale", "--yes", cwd=place).stdout
    assert folder.path.exists()
    folder.requeue()
    harness("clean", "runs/mini", "--stale", "--yes", cwd=place)
    assert not folder.path.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cancel", "runs/mini", "--only", ""), "empty condition"),
        (("retry", "runs/mini", "--launch", "slurm"), "give both or neither"),
        (("watch", "runs/mini", "--interval", "99999999999999h"), "more than a year"),
        (("worker", "runs/nowhere", "--stage", "train"), "no such folder"),
    ],
)
def test_bad_arguments_end_in_one_message(place: Path, arguments: tuple[str, ...], said: str) -> None:
    done = harness(*arguments, cwd=place)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_results_of_other_code_are_reported_and_repeated_on_request(place: Path, tmp_path: Path) -> None:
    store = Store(place / "runs/mini")
    old = records(store.path)
    edited, same = store.trials()
    record = edited.record()
    assert record is not None
    edited.write_record(record.model_copy(update={"code": "another"}))
    told = harness("sweep", "mini.yaml", "--dry-run", cwd=place)
    assert "1 of them by other code" in told.stdout
    kept = harness("sweep", "mini.yaml", cwd=place)
    assert kept.returncode == 0
    assert "trained by other code" in (store.path / "report/table.md").read_text()
    assert records(store.path)[edited.trial_id]["code"] == "another"
    rerun = harness("sweep", "mini.yaml", "--stale", "rerun", cwd=place)
    assert rerun.returncode == 0, rerun.stdout + rerun.stderr
    new = records(store.path)
    assert new[edited.trial_id]["code"] == old[edited.trial_id]["code"]
    assert new[edited.trial_id]["scores"] == old[edited.trial_id]["scores"]
    assert new[same.trial_id] == old[same.trial_id]
    assert "trained by other code" not in (store.path / "report/table.md").read_text()
    assert json.loads((store.path / "trash/0001/record.json").read_text())["code"] == "another"
    assert statuses(store.path)[same.trial_id]["num_starts"] == 2, "train and measure, once each"


def test_status_names_the_versions_of_the_code_in_a_row(place: Path) -> None:
    store = Store(place / "runs/mini")
    plan = json.loads(store.plan_file.read_text())
    first, second = (row["trials"]["0"] for row in plan["rows"])
    assert not several_codes(standings(store, store.plan()))
    found = [
        replace(item, label="one row", code=code)
        for item, code in zip(standings(store, store.plan()), ("a", "b"), strict=True)
    ]
    assert [item.folder.trial_id for item in found] == [first, second]
    assert several_codes(found) == ["one row: seeds of several versions of the code: a (1), b (1)"]
    assert several_codes([replace(found[0], code="a+b")])
    assert not several_codes([replace(item, code="a") for item in found])


def test_code_identity_sees_what_can_change_a_result_and_nothing_else(tmp_path: Path) -> None:
    for folder in ("harness", "variants"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))

    def identity(name: str = "mixing") -> str:
        import subprocess
        import sys

        code = (
            "from pathlib import Path; from harness.code_identity import code_identity;"
            f"print(code_identity(Path('variants/{name}.py')))"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    def edit(name: str) -> None:
        (tmp_path / name).write_text((tmp_path / name).read_text() + "\n# edited\n")

    before = identity()
    for harmless in ("harness/cli/sweep.py", "harness/launch/local/pool.py", "variants/joint.py"):
        edit(harmless)
        assert identity() == before
    for harmful in ("harness/train/loop.py", "harness/nn/attention.py", "variants/mixing.py"):
        edit(harmful)
        assert identity() != before
        before = identity()
