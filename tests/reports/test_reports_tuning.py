"""The report of a search: every proposal with its end, what was chosen, nothing of the test split."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from factory import window_run
from harness.reports import tuning
from harness.reports.common.table_data import build

from harness.store.plan_file import TunedRow, TunedTrial, TuningFile


def searched(*objectives: str) -> TuningFile:
    trials = [
        TunedTrial(
            number=number, trial_id=f"{number:012x}", state="complete", params={"train.learning_rate": 10.0**-number},
            values=[0.5 + number / 10, 1e6 * number][: len(objectives)], excess={"latency_ms": number - 2.5},
            chosen=number == 2,
        )
        for number in (1, 2, 3)
    ]  # fmt: skip
    refused = TunedTrial(number=4, trial_id=None, state="refused", message="4 | 3", params={"train.learning_rate": 1.0})
    row = TunedRow(row_id="0" * 12, label="mixing", study="mixing [x]", num_counted=3, trials=[*trials, refused])
    return TuningFile(
        objectives=list(objectives), bounds={"latency_ms": 5.0}, num_trials=3, train_seed=4, sampler="tpe", rows=[row]
    )


@pytest.mark.parametrize("objectives", [("val_top1",), ("val_top1", "macs_per_view")])
def test_every_proposal_is_there(tmp_path: Path, objectives: tuple[str, ...]) -> None:
    run = replace(window_run(), tuning=searched(*objectives))
    paths = tuning.write(run, tmp_path)
    assert {path.name for path in paths} == {"tuning.md", "tuning.csv", "tuning.png", "tuning.svg"}
    text = (tmp_path / "tuning.md").read_text()
    assert r"latency\_ms ≤ 5" in text
    assert text.count("**chosen**") == 1
    assert r"exceeds latency\_ms by 0.5" in text
    assert r"refused; 4 \| 3" in text
    with (tmp_path / "tuning.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["val_top1"] for line in lines] == ["0.6", "0.7", "0.8", ""]
    assert any("chosen by a search of 3 configurations" in note for note in build(run).notes)


def test_a_run_without_a_search_has_none(tmp_path: Path) -> None:
    assert tuning.write(window_run(), tmp_path) == []
    assert tuning.figures(window_run()) == []
