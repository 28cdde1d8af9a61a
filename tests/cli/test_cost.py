"""The `cost` verb: one line per row, in three formats, with published numbers."""

from __future__ import annotations

import csv
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from harness.cli import main
from harness.measure.count.planned import planned_costs
from harness.python_api.targets import plan_target
from harness.registry import variant_names

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


def test_another_table_beside_a_sweep_is_left_out_and_said(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep.with_suffix(".csv").write_text("label,accuracy\nmine,0.9\n")
    assert main(["cost", str(sweep)]) == 0
    captured = capsys.readouterr()
    assert "q.csv: not a table of published costs" in captured.err
    assert "published" not in captured.out
    sweep.with_suffix(".csv").write_text(HEADER.replace(",source", ""))  # ours, with a column missing: a fault
    assert main(["cost", str(sweep)]) == 2
    assert "the columns are" in capsys.readouterr().err


def test_memory_is_predicted_where_asked_for(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, str(sweep), "--memory", "--set", "measure.batch_size=3")
    assert "memory: predicted peak with 3 clips" in text
    (row,) = json.loads(output(capsys, "joint", "--memory", "--format", "json"))
    assert 0 < row["predicted_inference_peak_bytes"] < row["predicted_train_step_peak_bytes"]
    (row,) = json.loads(output(capsys, "joint", "--format", "json"))
    assert row["predicted_train_step_peak_bytes"] is None


@pytest.mark.parametrize("variant", variant_names([]))
def test_any_variant_at_the_size_of_the_papers_is_counted_in_two_seconds(variant: str) -> None:
    torch.set_num_threads(1)
    settings = ["model.size=B", "model.patch_size=16", "model.crop_size=224", "model.num_frames=32"]
    (trial,) = plan_target(variant, settings, []).trials
    planned_costs(plan_target("joint", [], []).trials[0].config)  # imports of first use
    spent = []
    with ThreadPoolExecutor(1) as thread:  # the tracer notes the whole stack at every operator, pytest's too
        while len(spent) < 3 and min(spent, default=9) >= 2:  # again where a neighbour on the same core slowed it down
            start = time.process_time()
            costs = thread.submit(planned_costs, trial.config).result()
            spent.append(time.process_time() - start)
    assert min(spent) < 2
    assert costs.macs.status == "exact"
    assert costs.macs.macs_per_view > 5e11


def test_a_variant_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = json.loads(output(capsys, "mixing", "--set", "data.num_views=3", "--backward", "--format", "json"))
    assert (row["label"], row["status"], row["backward_status"]) == ("mixing", "exact", "exact")
    assert row["macs_per_video"] == 3 * row["macs_per_view"]
    assert row["macs_per_frame"] * 8 == pytest.approx(row["macs_per_view"])
    assert row["macs_per_token"] * 8 * 16 == pytest.approx(row["macs_per_view"])
    assert row["useful_macs_per_view"] == row["macs_per_view"] == row["closed_form_macs"]


def test_executed_and_useful_work_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert "useful" in output(capsys, "local_global")
    assert "useful" not in output(capsys, "joint")


@pytest.mark.parametrize("by", ["op", "module"])
def test_the_ledger_in_three_formats(by: str, sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(output(capsys, str(sweep), "--by", by, "--format", "json"))
    lines = list(csv.DictReader(output(capsys, str(sweep), "--by", by, "--format", "csv").splitlines()))
    assert [(line["label"], line[by], line["macs"]) for line in lines] == [
        (row["label"], line[by], str(line["macs"])) for row in rows for line in row["ledger"]
    ]
    text = output(capsys, str(sweep), "--by", by)
    assert all(line[by] in text for line in lines)
    if by == "op":
        assert all(sum(line["macs"] for line in row["ledger"]) == row["macs_per_view"] for row in rows)


MODULES = """
import torch
from torch import nn

@torch.library.custom_op("planted::hidden", mutates_args=())
def hidden(x: torch.Tensor) -> torch.Tensor:
    return x + 1

class Planted(nn.Linear):
    def __init__(self):
        super().__init__(8, 4)
    def forward(self, x):
        return hidden(super().forward(x))

def attention():
    return nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

linear, number = nn.Linear(8, 4), 3

def fails():
    raise RuntimeError("not today")
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "cost_modules.py").write_text(MODULES)
    monkeypatch.syspath_prepend(tmp_path)
    return "cost_modules"


def test_any_module_by_its_import_path(modules: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"{modules}:attention", "--input", "2x5x16", "--backward", "--format", "json"]
    (row,) = json.loads(output(capsys, *arguments))
    macs = 10 * 16 * (4 * 16 + 2 * 32) + 2 * 2 * 5 * 5 * 16
    assert (row["status"], row["macs"], row["counted_on"]) == ("exact", macs, "meta")
    assert row["backward_macs"] == 2 * macs - 10 * 16 * 3 * 16  # the input needs no gradient
    assert row["closed_form_macs"] is None
    assert "128 MACs" in output(capsys, f"{modules}:linear", "--input", "4x8")


def test_a_planted_operator_is_a_lower_bound_with_its_name(modules: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, f"{modules}:Planted", "--input", "3x8:float32")
    assert "≥ 96 MACs" in text
    assert "operators of unknown cost: planted::hidden" in text
    assert "counted on real tensors" in text
    assert "planted::hidden" in output(capsys, f"{modules}:Planted", "--input", "3x8", "--by", "op")


HIDDEN = '''
"""A scheme with an operator that no counter knows. Source: this test."""
import torch
from harness.api import FrameAttention, FrameBlock, Variant, count

@torch.library.custom_op("planted::in_a_variant", mutates_args=())
def hidden(x: torch.Tensor) -> torch.Tensor:
    return x * 1

hidden.register_fake(torch.empty_like)
hidden.register_autograd(lambda context, gradient: gradient)

class Opaque(Variant):
    def build_block(self, layer):
        return Block(self.trunk, layer, FrameAttention(self.trunk, layer))
    def block_macs(self, layer):
        return count.frame_block_macs(self.trunk, layer, 1 + self.trunk.num_patches)

class Block(FrameBlock):
    def forward(self, frames):
        out = super().forward(frames)
        return out._replace(x=hidden(out.x))
'''


def test_an_unknown_operator_in_a_variant_is_a_lower_bound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "opaque.py").write_text(HIDDEN)
    text = output(capsys, "opaque", "--variants", str(tmp_path), "--set", "readout=mean_frames", "--memory")
    assert "lower bound" in text
    assert "≥" in text
    assert "opaque: operators of unknown cost: planted::in_a_variant" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cost_modules:linear"], "needs its inputs, e.g. --input 1x3x224x224"),
        (["cost_modules:linear", "--input", "3by8"], "--input 3by8: write sizes"),
        (["cost_modules:linear", "--input", "3x8:floaty"], "Types: float32"),
        (["cost_modules:linear", "--input", "3x7"], "does not run with these inputs"),
        (["cost_modules:lineal", "--input", "3x8"], "Did you mean linear?"),
        (["cost_modules:number", "--input", "3x8"], "is no torch.nn.Module"),
        (["cost_modules:fails", "--input", "3x8"], "not today"),
        (["no_such_module:x", "--input", "3x8"], "no_such_module cannot be imported"),
        (["cost_modules:linear", "--input", "3x8", "--set", "a=1"], "a module has no fields to set"),
        (["cost_modules:linear", "--input", "3x8", "--memory"], "has no training step to predict"),
        (["mixing", "--input", "3x8"], "Only modules take inputs"),
        (["mixin"], "Did you mean mixing?"),
    ],
)
def test_bad_targets_are_refused(
    modules: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cost", *arguments]) == 2
    assert message in capsys.readouterr().err
