"""The `cost` verb: one line per row, in three formats, beside published numbers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from harness.cli import main

SWEEP = """
question: q
data: {name: random, num_classes: 11, num_views: 3}
model: {size: demo}
variant: spatial_only
vary:
  - list: [{label: mine}, {label: other, variant: joint}]
seeds: 3
"""
HEADER = (
    "label,model,num_frames,crop_size,gmacs,num_views,counts_attention,parameters_m,source,"
    "cause,cause_gmacs,cause_parameters_m,not_built\n"
)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    file = tmp_path / "q.yaml"
    file.write_text(SWEEP)
    return file


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["cost", *arguments]) == 0
    return capsys.readouterr().out


def test_json_has_one_exact_row_per_configuration(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine, other = json.loads(output(capsys, str(sweep), "--format", "json"))
    assert (mine["label"], other["label"]) == ("mine", "other")
    assert mine["status"] == other["status"] == "exact"
    assert mine["macs_per_video"] == 3 * mine["macs_per_view"]
    assert 0 < mine["attention_macs_per_view"] < other["attention_macs_per_view"] < other["macs_per_view"]
    assert mine["published_gmacs_per_view"] is None


def test_csv_holds_the_same_numbers(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from_json = json.loads(output(capsys, str(sweep), "--format", "json"))
    from_csv = list(csv.DictReader(output(capsys, str(sweep), "--format", "csv").splitlines()))
    assert [row["macs_per_view"] for row in from_csv] == [str(row["macs_per_view"]) for row in from_json]


def test_published_numbers_stand_beside_ours(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (ours, _) = json.loads(output(capsys, str(sweep), "--format", "json"))
    gmacs, millions = ours["macs_per_view"] / 1e9, ours["num_parameters"] / 1e6
    rows = f"mine,M,8,16,{3 * gmacs},3,yes,{millions},s,,,,\n" + ",Tower,8,16,9,1,yes,2,s,,,,many stages\n"
    sweep.with_suffix(".csv").write_text(HEADER + rows)
    text = output(capsys, str(sweep))
    assert "+0.0 %" in text
    assert "UNEXPLAINED" not in text
    assert "Tower, 8 x 16: 9.0 GMACs / 1 views, 2.0 M (s): many stages" in text
    sweep.with_suffix(".csv").write_text(HEADER + f"mine,M,8,16,{4 * gmacs},3,yes,,s,,,,\n")
    assert "UNEXPLAINED" in output(capsys, str(sweep))
    # with --set the models are others than the published ones
    assert "UNEXPLAINED" not in output(capsys, str(sweep), "--set", "data.num_views=1")


def test_a_label_that_is_no_row_is_bad_input(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep.with_suffix(".csv").write_text(HEADER + "mien,M,8,16,9,1,yes,2,s,,,,\n")
    assert main(["cost", str(sweep)]) == 2
    assert "'mien' is the label of no row" in capsys.readouterr().err
