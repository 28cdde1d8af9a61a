"""The `scaling` verb: exponents of counted costs, exact changes of order, drawing, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from harness.bench import scaling
from harness.bench.scaling import at_size, closed_form
from harness.cli import main
from harness.measure.isolated.request import MeasurementAnswer
from harness.python_api.targets import plan_target

SWEEP = """
question: q
data: {name: random, num_classes: 11}
model: {size: demo}
variant: divided
vary: [{list: [{label: divided}, {label: joint, variant: joint}, {label: window, variant: local_window}]}]
"""


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["scaling", *arguments]) == 0
    return capsys.readouterr().out


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    return dict(json.loads(output(capsys, *arguments, "--format", "json")))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    file = tmp_path / "q.yaml"
    file.write_text(SWEEP)
    return file


def test_mixing_is_linear_in_frames(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = rows(capsys, "mixing", "--over", "num_frames", "--values", "8", "16", "32", "64")["rows"]
    assert row["fit"]["exponent"] == pytest.approx(1, abs=0.01)
    assert row["fit"]["low"] > 0.99
    assert row["fit"]["high"] < 1.01


def test_joint_rises_to_the_square(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = rows(capsys, "joint", "--over", "num_frames", "--values", "8", "64", "512", "1024")["rows"]
    local = row["fit"]["local"]
    assert local == sorted(local)
    assert 1.9 < local[-1] < 2
    assert {point["mark"] for point in row["points"]} == {""}


def test_the_change_of_order_is_the_first_by_counting(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = rows(capsys, str(sweep), "--over", "num_frames", "--values", "4", "64")
    (change,) = [item for item in result["changes_of_order"] if item["cheaper_after"] == "divided"]
    configs = {trial.label: trial.config for trial in plan_target(str(sweep), [], []).trials}
    cheaper = [
        size
        for size in range(4, 65)
        if closed_form(at_size(configs["divided"], "num_frames", size))
        < closed_form(at_size(configs["joint"], "num_frames", size))
    ]
    assert change["cheaper_before"] == "joint"
    assert change["exact"] == cheaper[0]
    assert 4 < change["crossing"]["at"] < 64


def test_rows_without_the_field_are_named(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, str(sweep), "--over", "temporal_window", "--values", "1", "2", "3")
    assert "without temporal_window, left out: divided, joint" in text
    assert main(["scaling", "joint", "--over", "temporal_window", "--values", "1", "2"]) == 2
    assert "no row has variant.temporal_window" in capsys.readouterr().err


def test_latency_keeps_its_samples(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--set", "measure.max_seconds=0.05", "--set", "measure.min_samples=3"]
    result = rows(capsys, "mixing", "--over", "num_frames", "--values", "2", "4", "--measure", "latency", *settings)
    assert result["quantity"] == "latency_ms"
    assert all(len(point["samples"]) >= 3 for point in result["rows"][0]["points"])
    assert result["changes_of_order"] == []


def test_predicted_memory_is_the_default_and_has_an_exponent_with_its_interval(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["mixing", "--over", "num_frames", "--values", "64", "128", "256", "--measure", "memory"]
    (row,) = rows(capsys, *arguments)["rows"]
    assert row["fit"]["low"] < row["fit"]["exponent"] < row["fit"]["high"]
    assert row["fit"]["exponent"] == pytest.approx(1, abs=0.05)


def test_measured_memory_lies_near_the_predicted_one(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["mixing", "--over", "crop_size", "--values", "16", "64", "--format", "csv", "--measure"]
    sizes = {}
    for measure, name in (("memory", "predicted_train_step"), ("memory-measured", "train_step")):
        lines = csv.DictReader(output(capsys, *arguments, measure).splitlines())
        sizes[measure] = [int(line[f"{name}_peak_bytes"]) for line in lines]
    for predicted, measured in zip(*sizes.values(), strict=True):
        assert abs(measured - predicted) < 0.05 * predicted + 32 * 2**20  # code of first use, whatever the size
    assert sizes["memory-measured"][1] > 3 * sizes["memory-measured"][0]


def test_memory_that_is_refused_ends_with_the_size_and_the_bytes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = MeasurementAnswer(status="oom", message="refused", requested_bytes=123)
    monkeypatch.setattr(scaling, "ask", lambda request: refused)
    arguments = ["mixing", "--over", "num_frames", "--values", "8", "16", "--measure", "memory-measured"]
    assert main(["scaling", *arguments]) == 2
    assert "--values 8  memory-measured: the training step ended with oom" in capsys.readouterr().err


def test_it_draws_what_it_prints(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "figures"
    output(capsys, str(sweep), "--over", "crop_size", "--values", "8", "16", "--to", str(folder))
    assert {path.suffix for path in folder.iterdir()} == {".png", ".svg", ".json"}
    (numbers,) = folder.glob("*.json")
    assert [row["label"] for row in json.loads(numbers.read_text())["rows"]] == ["divided", "joint", "window"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mixing", "--over", "crop_size", "--values", "15", "16"], "--values 15  model.patch_size: patches of 4 pixels"),
        (["mixing", "--over", "temporal_window", "--values", "1", "60"], "--values 60  variant.temporal_window: 60 given"),
        (["mixing", "--over", "num_frames", "--values", "8", "8"], "two different values"),
        (["mixxing", "--over", "num_frames", "--values", "8", "9"], "Did you mean mixing?"),
        (["no/such.yaml", "--over", "num_frames", "--values", "8", "9"], "no/such.yaml"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scaling", *arguments]) == 2
    assert message in capsys.readouterr().err
