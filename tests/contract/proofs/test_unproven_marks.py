"""Every table, file and figure with numbers of an unproven variant says so."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness.reports import tuning as tuning_report

import harness
from harness.bench.comparison import BenchResult
from harness.bench.options import BenchOptions
from harness.bench.row_result import RowResult
from harness.cli import main
from harness.proofs import FOLDER, UNPROVEN
from harness.python_api import timing
from harness.store.load import LoadedRun
from harness.store.plan_file import PlanFile, TunedRow, TunedTrial, TuningFile
from tests.contract.proofs.test_drafts import DRAFT, SWEEP


@pytest.fixture
def ideas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with a draft; no check has run."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "proofs"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ideas").mkdir()
    (tmp_path / "ideas/sketch.py").write_text(DRAFT, encoding="utf-8")
    sweep = SWEEP.replace("variant: [sketch, copied, joint]", "variant: [sketch, joint]")
    (tmp_path / "q.yaml").write_text(sweep, encoding="utf-8")
    return str(tmp_path / "ideas")


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row takes one millisecond."""

    def rows(configs: dict[str, Any], baseline: str, options: BenchOptions, *_: Any, **__: Any) -> BenchResult:
        found = [
            RowResult(label=label, status="done", median_ms=1.0, iqr_ms=0.0, p95_ms=1.0, ratio=1.0) for label in configs
        ]
        return BenchResult(baseline=baseline, options=options, rows=found, runs=[])

    monkeypatch.setattr(timing, "compare_rows", rows)


SMALL = {"readout.name": "mean_tokens", "model.size": "demo", "model.num_frames": 4}


@pytest.mark.usefixtures("timed")
def test_times(ideas: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = harness.time_variants(["joint", "sketch"], variants=ideas, set={"readout.name": "mean_tokens"})
    assert found["sketch"].marks == [UNPROVEN]
    assert found["joint"].marks == []
    assert UNPROVEN in repr(found)
    for pair in (("sketch", "joint"), ("joint", "sketch")):
        assert UNPROVEN in repr(harness.compare(*pair, variants=ideas, set={"readout.name": "mean_tokens"}))
    assert main(["bench", "q.yaml", "--variants", ideas]) == 0
    assert f"sketch: {UNPROVEN}" in capsys.readouterr().out
    assert UNPROVEN in next(tmp_path.glob("bench/*.json")).read_text()


@pytest.mark.parametrize("form", ["text", "csv", "json"])
def test_scaling(form: str, ideas: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["scaling", "q.yaml", "--over", "num_frames", "--values", "2", "4", "--variants", ideas]
    assert main([*command, "--format", form, "--to", "figures"]) == 0
    assert capsys.readouterr().out.count("unproven") == 2
    assert "unproven" in Path("figures/scaling_macs_num_frames.svg").read_text()


def test_frontier(ideas: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["frontier", "q.yaml", "--over", "batch_size", "--memory-mib", "200", "--predicted", "--most", "2"]
    assert main([*command, "--variants", ideas]) == 0
    (sketch, joint) = capsys.readouterr().out.splitlines()[:2]
    assert UNPROVEN in sketch
    assert UNPROVEN not in joint
    assert "(unproven)" in Path("bench/q_batch_size_frontier.svg").read_text()


def test_dry_run(ideas: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "q.yaml", "--dry-run", "--variants", ideas]) == 0
    said = capsys.readouterr().out
    assert [("unproven" in line) for line in said.splitlines() if line.split()[1:2] in (["sketch"], ["joint"])] == [
        True,
        False,
    ]
    assert UNPROVEN in said


@pytest.mark.parametrize("by", ["op", "module"])
def test_ledgers(by: str, ideas: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "q.yaml", "--by", by, "--format", "csv", "--variants", ideas]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {(line["label"], line["unproven"]) for line in lines} == {("sketch", "True"), ("joint", "False")}
    assert main(["cost", "q.yaml", "--by", by, "--format", "json", "--variants", ideas]) == 0
    assert [row["unproven"] for row in json.loads(capsys.readouterr().out)] == [True, False]


def test_search(tmp_path: Path, run_of_one_record: LoadedRun) -> None:
    trial_id, record = next(iter(run_of_one_record.records.items()))
    trial = TunedTrial(number=0, trial_id=trial_id, state="complete", params={"x": 1.0}, values=[0.5])
    row = TunedRow(row_id="r", label="sketch", study="s", num_counted=1, trials=[trial])
    search = TuningFile(objectives=["val_top1"], bounds={}, num_trials=1, train_seed=0, sampler="tpe", rows=[row])
    for proven in (True, False):
        kept = {trial_id: record.model_copy(update={"proven": proven, "code": "abc"})}
        run = replace(run_of_one_record, tuning=search, search_records=kept)
        written = {
            path.suffix: path.read_text() for path in tuning_report.write(run, tmp_path) if path.suffix != ".png"
        }
        assert [("unproven" in written[end]) for end in (".md", ".csv", ".svg")] == [not proven] * 3


@pytest.fixture
def run_of_one_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LoadedRun:
    """A run of one record, of no particular configuration."""
    from tests.reports.factory import window_run

    monkeypatch.setenv(FOLDER, str(tmp_path / "proofs"))
    found = window_run()
    assert isinstance(found.plan, PlanFile)
    return found
