"""The Python API: light to import, safe from the names of modules, and the same as the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness
from harness.errors import UserError
from harness.registry import OUR_VARIANTS
from harness.store import Store
from harness.store.plan_file import PlanFile
from tests.e2e import MINI, environment, records, write_sweep
from tests.e2e import harness as command

CONTENT: dict[str, Any] = yaml.safe_load(MINI)
#: everything that the API can do, after every module of the package was imported
EVERYTHING = """
import importlib, pkgutil, sys, yaml
import harness
for info in pkgutil.walk_packages(harness.__path__, "harness."):
    if not info.name.endswith("__main__"):
        importlib.import_module(info.name)
content = yaml.safe_load(open("mini.yaml"))
plan = harness.plan(content, set={"train.num_steps": 2}, name="all")
run = harness.run(plan, launcher="local", jobs=2)
assert run.is_done, run
results = harness.load(run)
assert len(results.frame()) == len(results.rows()) == 2
assert "temporal" in str(results.table()) and results.table().latex.startswith("% needs")
assert results.plot("memory")._repr_png_().startswith(b"\\x89PNG")
assert any(path.name == "index.html" for path in harness.report(run))
assert harness.count("mixing", num_frames=16)["mixing"].macs_per_view > 0
import torch
assert harness.count_module(torch.nn.Linear(8, 4), [(1, 8)]).cost.macs.macs_per_view == 32
quick = dict(repeats=1, blocks=1, patience_s=0.0, set={"model.size": "demo", "train.device": "cpu"})
timed = harness.time_variants(["spatial_only", "joint"], **quick)
assert list(timed.frame()["label"]) == ["spatial_only", "joint"]
assert "joint takes" in repr(harness.compare("joint", "spatial_only", **quick))
assert harness.check("spatial_only").is_kept
for shown in (run, results, results.table(), timed, harness.count("joint"), plan):
    assert str(shown)
print("all called:", sorted(harness.__all__))
"""


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


def test_import_is_light_and_dir_names_everything(tmp_path: Path) -> None:
    code = (
        "import sys, harness\n"
        "print([name for name in ('torch', 'pandas', 'numpy', 'matplotlib', 'pydantic') if name in sys.modules])\n"
        "print(set(harness.__all__) <= set(dir(harness)))"
    )
    assert python(code, tmp_path).stdout.split("\n")[:2] == ["[]", "True"]


def test_planning_help_imports_no_torch(tmp_path: Path) -> None:
    code = "import sys, harness; harness.plan, harness.run, harness.load, harness.report; print('torch' in sys.modules)"
    assert python(code, tmp_path).stdout.strip() == "False"


def test_no_function_has_the_name_of_a_module() -> None:
    root = Path(harness.__file__).parent
    modules = {path.stem for path in root.glob("*.py")} | {path.name for path in root.iterdir() if path.is_dir()}
    assert not set(harness.__all__) & (modules | {"reports", "variants"})


def test_every_function_works_after_every_module_was_imported(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    done = python(EVERYTHING, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    called = done.stdout.splitlines()[-1]
    assert all(f"harness.{name}(" in EVERYTHING for name in harness.__all__ if name != "UserError"), called


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'launch_rockets'"):
        _ = harness.launch_rockets


def test_a_dict_gives_the_trials_of_its_file(tmp_path: Path) -> None:
    file, overrides = write_sweep(tmp_path), {"train.num_steps": 9, "variant": {"name": "mixing", "temporal_window": 1}}
    of_file, of_dict = harness.plan(file, set=overrides), harness.plan(CONTENT, set=overrides, name="mini")
    assert of_dict.trials == of_file.trials
    assert of_dict.rows == of_file.rows
    assert of_dict.baseline_row == of_file.baseline_row is not None
    assert [trial.trial_id for trial in of_dict.trials] != [trial.trial_id for trial in harness.plan(CONTENT).trials]
    assert repr(of_dict).splitlines()[0] == "mini: 2 rows, 2 trials"


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    content = yaml.safe_load(MINI)
    change(content)
    return content  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            changed(lambda content: content.update(vary=[{"grid": {"variant.temporal_widow": [1]}}], baseline=None)),
            "vary[0].grid.variant.temporal_widow  vary.variant.temporal_widow: mixing has no such field",
        ),
        (changed(lambda content: content["train"].update(num_stepz=3)), "train.num_stepz: train has no such field"),
        (changed(lambda content: content["train"].update(learning_rate=float("nan"))), "train.learning_rate: nan is"),
        (changed(lambda content: content["train"].update(learning_rate=object())), "learning_rate: object is not"),
        (changed(lambda content: content.update({3: 4})), "plan  3 as a key; a key is text"),
        (changed(lambda content: content.pop("question")), "plan  question: missing; a sweep needs it"),
        (changed(lambda content: content.update(question="a\x00b")), "question: character U+0000 is not allowed"),
    ],
)
def test_a_fault_of_a_dict_names_its_place(content: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        harness.plan(content)
    assert message in str(caught.value)
    assert len(caught.value.faults) == 1  # nothing is reported twice


def test_bad_arguments_are_user_errors(tmp_path: Path) -> None:
    for call, message in (
        (lambda: harness.plan(CONTENT, name="a/b"), "cannot name a sweep"),
        (lambda: harness.plan(write_sweep(tmp_path), name="x"), "named by its file"),
        (lambda: harness.plan(CONTENT, set={"train.num_steps": object()}), "object is not allowed"),
        (lambda: harness.plan(CONTENT, set={"train.num_stepz": 3}), "Did you mean num_steps"),
        (lambda: harness.count("mixing", num_framez=3), r"nor mixing has this field.*Did you mean num_frames\?"),
        (lambda: harness.count("mixin"), "Did you mean mixing"),
        (lambda: harness.load(tmp_path / "nowhere"), "no run is there"),
        (lambda: harness.report(tmp_path / "nowhere"), "no run is there"),
        (lambda: harness.time_variants(["joint", "joint"]), "given twice"),
        (lambda: harness.check("mixin"), "Did you mean mixing"),
        (lambda: harness.run(CONTENT, only=["seed=77"], runs=tmp_path), "no trial of notebook fits"),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_a_field_by_its_name_is_that_of_the_model_or_the_variant() -> None:
    by_name = harness.count("mixing", num_frames=4, temporal_window=2)
    by_path = harness.count("mixing", set={"model.num_frames": 4, "variant.temporal_window": 2})
    assert by_name["mixing"].costs == by_path["mixing"].costs
    assert by_name["mixing"].costs != harness.count("mixing", num_frames=4)["mixing"].costs


def test_a_run_of_a_dict_can_be_retried_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    run = harness.run(harness.plan(CONTENT, set={"train.num_steps": 2, "launch.time_limit_minutes": 5}), jobs=1)
    assert run.is_done
    assert run.statuses() == {"done": 2}
    plan = Store(run.path).plan()
    assert plan.source is not None
    assert plan.source.content == CONTENT
    assert plan.source.overrides == ["train.num_steps=2"], "an override of launch cannot change a result"
    assert "harness.run(harness.plan({'question': 'Does the harness work" in plan.command
    first = Store(run.path).trials()[0]
    first.record_file.unlink()
    status = first.written_status()
    status.status = "failed"
    first.write_status(status)
    done = command("retry", run.path.resolve(), "--start", cwd=tmp_path / "elsewhere")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(records(run.path)) == 2


def test_a_folder_is_not_taken_by_another_question(tmp_path: Path) -> None:
    tiny = {"train.num_steps": 2, "measure.max_seconds": 0.01}
    only = ["variant.temporal_window=1"]
    assert harness.run(harness.plan(CONTENT, set=tiny), runs=tmp_path, only=only, write_report=False).is_done
    other = harness.plan({**CONTENT, "question": "Another one?", "baseline": None}, set={"train.num_steps": 3})
    with pytest.raises(UserError, match=r"holds the run of `harness\.run"):
        harness.run(other, runs=tmp_path)


def test_plans_of_before_are_read(tmp_path: Path) -> None:
    content = harness.plan(CONTENT, name="mini").to_file().model_dump(mode="json")
    del content["source"]
    assert PlanFile.model_validate_json(json.dumps(content)).source is None


@pytest.mark.parametrize("jobs", [0, -1, "2", 1.5, True])
def test_a_number_of_jobs_that_cannot_be_is_refused(jobs: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"jobs=.*a whole number of at least 1"):
        harness.run(CONTENT, jobs=jobs, runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_folder_and_one_condition_need_no_list(tmp_path: Path) -> None:
    text = (OUR_VARIANTS / "spatial_only.py").read_text(encoding="utf-8")
    (tmp_path / "mine.py").write_text(text.replace("SpatialOnly", "Mine"), encoding="utf-8")
    expected = harness.count("spatial_only", num_frames=2)["spatial_only"].macs_per_view
    assert harness.count("mine", num_frames=2, variants=str(tmp_path))["mine"].macs_per_view == expected
    with pytest.raises(UserError, match="no trial"):
        harness.run(CONTENT, only="no such row", runs=tmp_path)
    with pytest.raises(UserError, match=r"\['mine'\] is not a name"):
        harness.check(["mine"], variants=tmp_path)  # type: ignore[arg-type]


def test_a_variant_that_was_edited_is_loaded_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    text = (OUR_VARIANTS / "spatial_only.py").read_text(encoding="utf-8")
    file.write_text(text, encoding="utf-8")
    before = harness.count("mine", num_frames=2, variants=tmp_path)["mine"].macs_per_view
    joint = (OUR_VARIANTS / "joint.py").read_text(encoding="utf-8")
    file.write_text(joint, encoding="utf-8")
    expected = harness.count("joint", num_frames=2)["joint"].macs_per_view
    assert harness.count("mine", num_frames=2, variants=tmp_path)["mine"].macs_per_view == expected != before
