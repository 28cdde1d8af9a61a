"""The command line as a user meets it: quick help, one clear message for bad input, exit codes."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.cli import VERBS
from tests.e2e import MINI, ROOT, environment, harness, write_sweep

BAD_FILES = {
    "missing.yaml": None,
    "empty.yaml": "",
    "list.yaml": "- a\n- b\n",
    "misspelt.yaml": MINI.replace("temporal_window: 1", "temporal_widow: 1"),
    "tab.yaml": "question:\tx\n\tdata: {}\n",
    "python_tag.yaml": "question: !!python/object/apply:os.system [echo broken]\n",
    "geometry.yaml": MINI.replace("crop_size: 12", "crop_size: 13"),
    "too_wide.yaml": MINI.replace("[0, 1]", "[0, 5]"),
}


def cpu_seconds() -> float:
    """Processor time of all children so far: unlike the clock, it does not see what else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("verb", VERBS)
def test_help_answers_at_once_and_without_torch(verb: str, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['harness', sys.argv[1], '--help']\n"
        "from harness.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print('exit', end.code)\n"
        "print('torch' in sys.modules, 'pandas' in sys.modules, 'matplotlib' in sys.modules)"
    )
    spent = []
    for _ in range(3):
        before = cpu_seconds()
        done = subprocess.run(
            [sys.executable, "-c", code, verb],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        spent.append(cpu_seconds() - before)
    assert "exit 0" in done.stdout
    assert done.stdout.strip().endswith("False False False")
    assert min(spent) < 0.5  # 0.1 on a quiet machine; with torch it is more than a second


@pytest.mark.parametrize("what", ["variants", "readouts", "sweeps", "reports"])
def test_list_answers_without_torch(what: str, tmp_path: Path) -> None:
    code = f"import sys; from harness.cli import main; main(['list', '{what}']); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("False")
    assert {
        "variants": "mixing",
        "readouts": "temporal_attention",
        "sweeps": "sweeps/window_size.yaml",
        "reports": "table",
    }[what] in done.stdout


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_sweep_files_end_with_a_message_and_exit_code_2(name: str, tmp_path: Path) -> None:
    if BAD_FILES[name] is not None:
        (tmp_path / name).write_text(str(BAD_FILES[name]))
    before = cpu_seconds()
    done = harness("sweep", name, cwd=tmp_path)
    assert cpu_seconds() - before < 3  # under 2 s on a quiet machine, most of it the import of torch
    assert done.returncode == 2
    assert name in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "runs").exists()


def test_messages_name_line_column_and_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text(BAD_FILES["misspelt.yaml"] or "")
    message = harness("sweep", "q.yaml", cwd=tmp_path).stderr
    assert "q.yaml:5:25  variant.temporal_widow: mixing has no such field" in message
    assert "Did you mean temporal_window?" in message


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["swep", "x.yaml"], "Did you mean sweep?"),
        (["report", "nowhere"], "no run is there"),
        (["status", "nowhere"], "no run is there"),
        (["retry", "nowhere", "--status", "done"], "cannot be retried"),
        (["clean", "nowhere"], "--checkpoints, --stale"),
        (["check", "mixin"], "Did you mean mixing?"),
        (["bench", "mixing", "mixing"], "selftest"),
        (["bench", "mixing", "joint", "--patience", "-1"], "not a duration"),
        (["selftest", "--pair", "joint", "joint"], "two different variants"),
        (["frontier", "joint", "--over", "num_frames", "--latency-ms", "-1"], "above 0"),
        (["cost", "torch.nn:Linear", "--input", "1x8"], "cannot be made without arguments"),
        (["new", "variant", "Bad-Name"], "not a valid variant name"),
        (["new", "variant", "mixing"], "exists already"),
        (["list", "variants", "--variants", "nowhere"], "no such folder"),
        (["sweep", "mini.yaml", "--set", "train.num_stepz=3"], "Did you mean"),
        *(
            []
            if torch.cuda.is_available()
            else [(["sweep", "mini.yaml", "--set", "train.device=cuda"], "sees no CUDA device")]
        ),
        (["sweep", "mini.yaml", "--only", "seed=77"], "no trial of mini fits"),
        (["sweep", "mini.yaml", "--time-budget", "soon"], "not a duration"),
        (["sweep", "mini.yaml", "--jobs", "0"], "at least 1"),
        (["sweep", "mini.yaml", "--runs", "mini.yaml"], "is a file, and a folder is needed"),
    ],
)
def test_bad_arguments_end_with_a_message_and_exit_code_2(arguments: list[str], fragment: str, tmp_path: Path) -> None:
    write_sweep(tmp_path)
    done = harness(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert fragment in done.stderr
    assert "Traceback" not in done.stderr


def test_dry_run_prints_costs_and_states_and_writes_nothing(tmp_path: Path) -> None:
    done = harness("sweep", write_sweep(tmp_path), "--dry-run", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.count(" new") == 2
    assert "MMACs" in done.stdout or "kMACs" in done.stdout
    assert not (tmp_path / "runs").exists()


def test_a_run_can_be_cleaned_retried_and_reported(tmp_path: Path) -> None:
    sweep, run = write_sweep(tmp_path), tmp_path / "runs/mini"
    assert harness("sweep", sweep, "--only", "variant.temporal_window=1", cwd=tmp_path).returncode == 0
    assert len(list(run.glob("trials/*/record.json"))) == 1
    planned = harness("sweep", sweep, "--dry-run", cwd=tmp_path).stdout
    assert " done" in planned
    assert " new" in planned
    table = (run / "report/table.csv").read_text()
    for file in (run / "report").iterdir():
        file.unlink()
    assert harness("report", run, cwd=tmp_path).returncode == 0
    assert (run / "report/table.csv").read_text() == table
    cleaned = harness("clean", run, "--checkpoints", "--yes", cwd=tmp_path)
    assert cleaned.stdout.splitlines()[-1].startswith("1 removed")
    assert not list(run.glob("trials/*/checkpoint.safetensors"))
    assert harness("sweep", sweep, "--set", "train.num_steps=9", "--only", "seed=0", cwd=tmp_path).returncode == 2
    other = ["--set", "train.num_steps=9", "--only", "variant.temporal_window=1", "--replace-plan"]
    assert harness("sweep", sweep, *other, cwd=tmp_path).returncode == 0
    assert "no longer asked for by the sweep: 1 trial " in harness("status", run, cwd=tmp_path).stdout
    assert harness("clean", run, "--stale", "--yes", cwd=tmp_path).stdout.splitlines()[-1].startswith("1 removed")


def test_a_dropped_in_variant_is_listed_checked_and_swept(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    assert harness("new", "variant", "near_frames", "--to", folder, cwd=tmp_path).returncode == 0
    assert len((folder / "near_frames.py").read_text().splitlines()) <= 80
    assert "near_frames" in harness("list", "variants", "--variants", folder, cwd=tmp_path).stdout
    checked = harness("check", "near_frames", "--variants", folder, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    text = MINI.replace("variant: {name: mixing, temporal_window: 1}", "variant: {name: near_frames}")
    text = text.replace("variant.temporal_window: [0, 1]", "variant.reach: [0, 1]").replace(
        "variant.temporal_window", "variant.reach"
    )
    text = text.replace("readout: {name: mean_frames}\n", "")
    done = harness("sweep", write_sweep(tmp_path, text), "--variants", folder, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = (folder / "near_frames.py").read_text().replace("<= self.config.reach", "<= self.config.reach + 1", 1)
    (folder / "near_frames.py").write_text(broken.replace("return self.allowed(layout)", "return layout.itself()"))
    assert harness("check", "near_frames", "--variants", folder, cwd=tmp_path).returncode == 1


def test_the_schema_for_editors_is_up_to_date() -> None:
    done = harness("schema", cwd=ROOT)
    assert json.loads(done.stdout) == json.loads((ROOT / "sweeps/schema.json").read_text())


def test_videos_can_be_exported_and_swept(tmp_path: Path) -> None:
    exported = harness(
        "data", "export", "moving_shapes", "--to", "runs/videos", "--num-train", "64", "--num-val", "8", "--num-test", "16",
        cwd=tmp_path,
    )  # fmt: skip
    assert exported.returncode == 0, exported.stderr
    assert len(list((tmp_path / "runs/videos").rglob("*.mp4"))) == 88
    done = harness(
        "sweep", ROOT / "sweeps/from_videos.yaml", "--set", "train.num_steps=3", "--set", "seeds=1",
        "--set", "measure.max_seconds=0.05", "--only", "variant.temporal_window=1", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(next((tmp_path / "runs/from_videos").glob("trials/*/record.json")).read_text())
    assert record["scores"]["test"]["class"]["total"] == 16
    assert record["data_identity"].startswith("video_list/v2/sha256:")
