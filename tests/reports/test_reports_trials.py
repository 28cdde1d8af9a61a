"""One line per planned trial, finished or not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from harness.reports.trials import frame, write

from tests.reports.factory import window_run


def test_every_planned_trial_has_a_line_with_its_own_numbers(tmp_path: Path) -> None:
    run = window_run()
    lines = frame(run).set_index("trial_id")
    assert sorted(lines.index) == sorted(trial for row in run.plan.rows for trial in row.trials.values())
    for trial_id, record in run.records.items():
        for label, score in record.scores["test"].items():
            assert lines.loc[trial_id, f"test_{label}_top1"] == score.top1_correct / score.total
    (path,) = write(run, tmp_path)
    assert len(pd.read_csv(path)) == len(lines)
