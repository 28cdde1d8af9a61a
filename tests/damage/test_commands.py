"""Commands that remove something: nothing finished is deleted, nothing outside the run is touched, `doctor` says it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import UserError
from harness.store import Store
from harness.store.load import read_record
from tests.reports.factory import edit, save, saved_trial, window_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save(window_run(), tmp_path / "run")


@pytest.mark.parametrize(
    "text", ["../../../x", "", ".", "0123456789a", "0123456789AB", "0123456789ab/", "0123456789ab\n"]
)
def test_what_is_no_id_is_no_folder(run: Path, text: str) -> None:
    with pytest.raises(UserError, match="12 hex digits"):
        Store(run).trial(text)


def test_a_hostile_plan_removes_nothing_outside_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = run.parent / "x"
    outside.mkdir()
    (outside / "checkpoint.safetensors").write_text("mine")
    plan = json.loads((run / "plan.json").read_text())
    plan["rows"][0]["trials"]["0"] = "../../x"
    edit(run / "plan.json", rows=plan["rows"])  # sealed: as a person who means harm would write it
    for words in (
        ["retry", "--from-scratch", "--yes"],
        ["clean", "--stale", "--yes"],
        ["status"],
        ["report"],
        ["doctor"],
    ):
        assert main([words[0], str(run), *words[1:]]) == 2
        assert "no id of 12 hex digits" in capsys.readouterr().err
    assert (outside / "checkpoint.safetensors").read_text() == "mine"


def drop_first_row(run: Path) -> str:
    store = Store(run)
    plan = store.plan()
    store.write_plan(plan.model_copy(update={"rows": plan.rows[1:], "baseline_row": None}))
    return plan.rows[0].trials["0"]


def test_stale_trials_move_to_the_trash_with_a_list(run: Path) -> None:
    trial_id = drop_first_row(run)
    record = (run / "trials" / trial_id / "record.json").read_bytes()
    assert main(["clean", str(run), "--stale", "--yes"]) == 0
    assert not (run / "trials" / trial_id).exists()
    (kept,) = run.glob(f"trash/*/{trial_id}/record.json")
    assert kept.read_bytes() == record
    entries = [json.loads(line) for line in (run / "trash/list.jsonl").read_text().splitlines()]
    assert len(entries) == 4
    assert entries[0].keys() == {"what", "kept_in", "why", "when", "command"}
    assert f"trials/{trial_id}" in [entry["what"] for entry in entries]
    assert main(["clean", str(run), "--trash", "--yes"]) == 0
    assert not (run / "trash").exists()


@pytest.mark.parametrize("option", ["--stale", "--trash"])
def test_nothing_is_removed_without_a_yes(run: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    trial_id = drop_first_row(run)
    if option == "--trash":
        Store(run).trash.take(run / "trials" / trial_id, "a test")
    before = sorted(run.rglob("*[!k]"))  # without locks
    assert main(["clean", str(run), option]) == 2
    assert "Add --yes" in capsys.readouterr().err
    assert main(["clean", str(run), option, "--dry-run"]) == 0
    assert sorted(run.rglob("*[!k]")) == before


def test_progress_is_given_up_only_with_a_yes(run: Path) -> None:
    trial = saved_trial(run)
    trial.record_file.write_text("{")
    trial.checkpoint_file.write_text("trained")
    assert main(["retry", str(run), "--from-scratch"]) == 2
    assert trial.checkpoint_file.exists()
    assert main(["retry", str(run)]) == 0
    assert trial.checkpoint_file.read_text() == "trained", "the trial resumes from it"
    assert not trial.record_file.exists()
    trial.record_file.write_text("{")
    assert main(["retry", str(run), "--from-scratch", "--yes"]) == 0
    assert not trial.checkpoint_file.exists()
    assert len(list(run.glob("trash/*/*"))) == 3


def test_links_are_not_followed_out_of_the_run(run: Path) -> None:
    trial_id = drop_first_row(run)
    outside = run.parent / "outside"
    shutil.move(run / "trials" / trial_id, outside)
    (run / "trials" / trial_id).symlink_to(outside)
    (run / "trash").symlink_to(run.parent / "elsewhere")
    assert main(["clean", str(run), "--stale", "--yes"]) == 2
    (run / "trash").unlink()
    assert main(["clean", str(run), "--stale", "--yes"]) == 0
    assert (outside / "record.json").exists()
    assert (run / "trials" / trial_id).is_symlink()


def test_doctor_says_what_is_wrong_and_what_to_do(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(run)]) == 0
    assert "20 trials, all is well" in capsys.readouterr().out
    trials = [saved_trial(run, row) for row in range(4)]
    trials[0].record_file.write_text("{")
    trials[1].record_file.unlink()
    trials[2].status_file.write_text("{")
    trials[3].path.rename(run / "trials" / "copy of it")
    (trials[2].path / ".record.json.7.tmp").write_text("half")
    assert main(["doctor", str(run)]) == 1
    said = capsys.readouterr().out
    for expected in (
        f"{trials[0].record_file}: damaged", f"retry {run}", f"{trials[1].record_file}: missing, and the trial was done",
        f"{trials[2].status_file}: damaged", "copy of it: no trial", "left by a killed writer", "20 trials, 4 problems",
    ):  # fmt: skip
        assert expected in said


def test_a_record_of_another_row_is_not_shown_in_this_one(run: Path) -> None:
    """The trials of two rows are swapped in a plan whose seal fits."""
    plan = json.loads((run / "plan.json").read_text())
    one, other = plan["rows"][0]["trials"], plan["rows"][1]["trials"]
    plan["rows"][0]["trials"], plan["rows"][1]["trials"] = other, one
    edit(run / "plan.json", rows=plan["rows"])
    from harness.store.load import load

    found = load(run)
    assert len(found.records) == 12
    assert {found.statuses[trial_id][0] for trial_id in [*one.values(), *other.values()]} == {"invalid"}


RANGES = {
    "scores.test.verb.top1_correct": (-156, 3094, 1.5, "many"), "scores.test.verb.total": (0, -1, 10**400),
    "costs.num_parameters": (-1, 10**400), "costs.macs.macs_per_view": (-1,), "costs.num_views": (0,),
    "costs.timings.latency.median_ms": (0, -1.0, float("nan"), float("inf"), "1 s", None),
    "costs.timings.inference.samples_ms": ([float("nan")], 3, [-1.0]), "costs.memory.train_step_peak_bytes": (-1,),
    "training.final_loss": (float("nan"), float("inf"), "low"), "ceilings.bag_of_frames.verb": (1.5, -0.1),
    "config.variant.row": ("r1", 3), "config.train.num_steps": (7,), "seed": (1, "none"), "data_identity": ("other",),
    "environment": ([], "x" * 200_000), "costs.timings.preflight": ({"dirty": 5},),
}  # fmt: skip


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in RANGES.items() for value in values])
def test_a_record_without_a_seal_has_ranges_and_its_own_id(run: Path, field: str, value: object) -> None:
    """Of an older version: nothing but its schema and its id can show damage."""
    trial = saved_trial(run)
    content = json.loads(trial.record_file.read_text()) | {"schema_version": 2}
    del content["seal"]
    trial.record_file.write_text(json.dumps(content))
    record = read_record(trial.path)
    assert record is not None
    assert not record.is_sealed
    *path, last = field.split(".")
    inner = content
    for key in path:
        inner = inner[key]
    assert last in inner or last == "row"
    inner[last] = value
    trial.record_file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="damaged"):
        read_record(trial.path)


@pytest.mark.parametrize("name", ["mine", "moving_shapes"])
def test_an_old_record_of_a_users_data_set_is_read(run: Path, name: str) -> None:
    """It does not say which fields of its data set are places, so that its id cannot be computed again."""
    trial = Store(run).trials()[0]
    record = json.loads(trial.record_file.read_text())
    record["config"]["data"] = {"name": name, "cache": "/a/place"}
    record |= {"schema_version": 2, "location_fields": None}
    trial.record_file.write_text(json.dumps({key: value for key, value in record.items() if key != "seal"}))
    if name == "mine":
        assert read_record(trial.path) is not None
    else:
        with pytest.raises(UserError, match="it is the configuration of trial"):
            read_record(trial.path)


@pytest.mark.parametrize("value", [".nan", "2026-01-01", "{1: a, b: c}"])
def test_doctor_names_a_configuration_that_json_cannot_hold(
    run: Path, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = Store(run).trials()[0]
    trial.record_file.unlink()
    trial.config_file.write_text(
        f"trial: {{train: {{x: {value}}}, data: {{name: random}}}}\nlaunch: {{data_identity: x}}\n"
    )
    assert main(["doctor", str(run)]) == 1
    assert str(trial.config_file) in capsys.readouterr().out
