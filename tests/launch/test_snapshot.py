"""The copy of the code that a sweep runs from: later edits change nothing, it is bounded, and launchers start from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.cli import worker as worker_verb
from harness.code_identity import code_identity, folders
from harness.errors import UserError
from harness.launch import snapshot
from harness.launch.base import LaunchRequest
from harness.launch.local.launcher import Local
from harness.launch.queued import QueueLauncher
from harness.launch.tasks import Todo, prepare, task_of
from harness.registry import load_variant, variant_file
from harness.running import RunOptions, run_plan
from harness.store import Store
from harness.worker.setup import code_of, trial_of
from tests.e2e import ROOT

SWEEP = {
    "question": "Is a sweep undisturbed by edits?",
    "data": {"name": "moving_shapes", "task": "motion", "num_train": 512, "num_val": 20, "num_test": 40},
    "model": {"embed_dim": 16, "depth": 1, "num_heads": 2, "num_frames": 4, "crop_size": 12},
    "train": {"num_steps": 2, "batch_size": 8, "device": "cpu"},
    "vary": [{"list": [{"label": "only"}]}],
    "seeds": 2,
}


@pytest.fixture
def ideas(tmp_path: Path) -> Path:
    """A folder with a variant and its helper."""
    folder = tmp_path / "ideas"
    folder.mkdir()
    (folder / "idea.py").write_text((ROOT / "variants/spatial_only.py").read_text() + "\nfrom .helper import FACTOR\n")
    (folder / "helper.py").write_text("FACTOR = 1\n")
    return folder


def edit(folder: Path) -> None:
    (folder / "helper.py").write_text("FACTOR = 2\n")


def rename(folder: Path) -> None:
    (folder / "idea.py").rename(folder / "another.py")


def delete(folder: Path) -> None:
    (folder / "helper.py").unlink()
    (folder / "idea.py").unlink()
    folder.rmdir()


@pytest.mark.parametrize("change", [edit, rename, delete])
def test_a_running_sweep_does_not_see_changes(
    ideas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    before = code_identity(ideas / "idea.py")
    found = []

    def run(self: Local, request: LaunchRequest, todo: Todo) -> bool:
        change(ideas)
        prepare(todo, request.plan, request.code)
        for task in todo.tasks:
            trial, launch = trial_of(task.folder)
            code_identity.cache_clear()
            found.append(code_of(trial, launch))
            (folder,) = map(Path, launch["variant_dirs"])
            assert load_variant("idea", [folder]).__module__
            assert folder.is_relative_to(Path(launch["code"]))
        return True

    monkeypatch.setattr(Local, "run", run)
    plan = harness.plan(SWEEP | {"variant": "idea"}, name="edited", variants=[ideas])
    run_plan(plan, RunOptions(runs=tmp_path / "runs", variant_dirs=(ideas,), write_report=False))
    assert found == [before, before]


def test_edited_code_makes_a_new_copy_and_unchanged_code_reuses_it(ideas: Path, tmp_path: Path) -> None:
    first = snapshot.take(tmp_path / "run", [ideas])
    (first.path / "noted").touch()
    assert snapshot.take(tmp_path / "run", [ideas]) == first
    (first.path / "harness/units.py").write_text("damaged")
    (first.path / "harness/errors.py").unlink()
    assert snapshot.take(tmp_path / "run", [ideas]) == first, "a damaged copy is written again"
    assert (first.path / "harness/units.py").read_bytes() == (ROOT / "harness/units.py").read_bytes()
    assert (first.path / "harness/errors.py").is_file()
    edit(ideas)
    second = snapshot.take(tmp_path / "run", [ideas])
    assert second.path != first.path
    assert (first.variant_dirs[0] / "helper.py").read_text() == "FACTOR = 1\n"
    assert sorted(path.name for path in (tmp_path / "run/code").iterdir()) == sorted(
        [first.path.name, second.path.name]
    )


def test_a_new_process_imports_the_copy_even_in_another_checkout(ideas: Path, tmp_path: Path) -> None:
    taken = snapshot.take(tmp_path / "run", [ideas])
    code = "import harness.locations as l, json, sys; print(json.dumps([str(l.PACKAGE), str(l.VARIANTS)]))"
    environment = os.environ | snapshot.environment(taken.path)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout) == [str(taken.path / "harness"), str(taken.path / "variants")]


def test_what_is_no_source_is_left_out(ideas: Path, tmp_path: Path) -> None:
    for name in (".git/config", "__pycache__/idea.cpython-311.pyc", "runs/mini/plan.json", "env/pyvenv.cfg", ".hidden"):
        (ideas / name).parent.mkdir(parents=True, exist_ok=True)
        (ideas / name).write_text("no source")
    (ideas / "clip.mp4").write_bytes(bytes(folders.MAX_FILE_BYTES + 1))
    (ideas / "loop").symlink_to(ideas)
    (ideas / "tables").mkdir()
    (ideas / "tables/small.json").write_text("{}")
    (copied,) = snapshot.take(tmp_path / "run", [ideas]).variant_dirs
    names = {path.relative_to(copied).as_posix() for path in copied.rglob("*") if path.is_file()}
    assert names == {"idea.py", "helper.py", "tables/small.json"}


def test_a_folder_of_anything_else_is_refused(ideas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MAX_FILES", 3)
    for number in range(3):
        (ideas / f"{number}.txt").touch()
    with pytest.raises(UserError, match=r"ideas: more than 3 files .* move the variants into a folder"):
        snapshot.take(tmp_path / "run", [ideas])
    assert not (tmp_path / "run").exists()


def test_jobs_of_a_queue_start_from_the_copy(tmp_path: Path) -> None:
    taken = snapshot.take(tmp_path / "run", [])
    plan = harness.plan(SWEEP | {"variant": "joint"}, name="queued")
    request = LaunchRequest(plan, Store(tmp_path / "run"), taken)
    task = task_of(plan.trials[0], request.store.trial("0" * 12))
    words = QueueLauncher.command_of(None, request, task, "queue:1")  # type: ignore[arg-type]
    assert words[0] == "env"
    assert {f"{name}={value}" for name, value in snapshot.environment(taken.path).items()} < set(words)


def test_a_worker_of_another_launcher_starts_again_from_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(os, "execve", lambda program, words, environment: started.append(environment["PYTHONPATH"]))
    taken = snapshot.take(tmp_path / "run", [])
    for code in (taken.path, snapshot.OWN.path):
        (tmp_path / "config.yaml").write_text(json.dumps({"launch": {"code": str(code)}}))
        worker_verb._use_code_of(tmp_path)
    assert [words.split(os.pathsep)[0] for words in started] == [str(taken.path)]
    (tmp_path / "config.yaml").write_text(json.dumps({"launch": {"code": str(tmp_path / "gone")}}))
    with pytest.raises(UserError, match=r"is gone\. Run the sweep command again"):
        worker_verb._use_code_of(tmp_path)


def test_a_variant_is_found_by_its_copy(ideas: Path, tmp_path: Path) -> None:
    taken = snapshot.take(tmp_path / "run", [ideas])
    assert code_identity(variant_file("idea", taken.variant_dirs)) == code_identity(ideas / "idea.py")
