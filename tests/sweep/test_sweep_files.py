"""Every file in sweeps/ can be planned; the papers' sweeps can also be planned and costed at the papers' size."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from harness.cli import main
from harness.data import data_identity
from harness.sweep.plan import Plan, plan_sweep
from harness.sweep.schema import TrialConfig

ROOT = Path(__file__).resolve().parents[2]


def uncommented(path: Path) -> str:
    return "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))


# sweeps over video files need the files
FILES = [path for path in sorted((ROOT / "sweeps").glob("*.yaml")) if "name: video_list" not in uncommented(path)]
PAPERS = [path for path in FILES if path.stem.startswith("paper_") or path.stem == "schemes"]
COMMAND = "#   python -m harness sweep "


def settings(path: Path) -> list[str]:
    """Returns the `--set` arguments of the command in the file's comment, which sets the paper's size."""
    (line,) = [line for line in path.read_text().splitlines() if line.startswith(COMMAND)]
    file, *arguments = shlex.split(line.removeprefix(COMMAND))
    assert file == f"sweeps/{path.name}"
    assert arguments[::2] == ["--set"] * (len(arguments) // 2)
    return arguments[1::2]


def plan(path: Path, overrides: list[str]) -> Plan:
    return plan_sweep(path, overrides, data_identity=data_identity, device=lambda: "cpu")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_plans(path: Path) -> None:
    made = plan(path, [])
    assert made.rows
    assert made.question.endswith("?")


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_papers_questions_have_four_seeds_and_a_baseline(path: Path) -> None:
    made = plan(path, [])
    assert made.baseline_row is not None
    assert {trial.seed for trial in made.trials} == set(range(4))


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_plans_at_the_papers_size(path: Path) -> None:
    small, large = plan(path, []), plan(path, settings(path))
    assert [row.label for row in large.rows] == [row.label for row in small.rows]
    models = [TrialConfig(**trial.config).model for trial in large.trials]
    assert {(model.num_frames, model.crop_size) for model in models} == {(8, 224)}
    assert {model.patch_size for model in models} == ({16, 32} if path.stem == "paper_table4" else {16})


@pytest.mark.slow
@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_costs_at_the_papers_size_are_exact(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [part for setting in settings(path) for part in ("--set", setting)]
    assert main(["cost", str(path), *overrides, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["status"] for row in rows} == {"exact"}
    assert all(30e9 < row["macs_per_view"] < 500e9 for row in rows)
