"""Published costs: the rules of the table, and our counts against every row."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.measure.count.published import (
    LIMIT,
    Published,
    by_label,
    macs_difference,
    parameter_difference,
    read_published,
)
from harness.record import Costs, MacsCount

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "sweeps" / "published_cost.csv"
ROWS = read_published(TABLE)
RUN = """
import sys, time
from harness.cli import main
from harness.measure.memory.tensors import process_peak_bytes
assert main(["cost", "sweeps/published_cost.yaml", "--format", "json"]) == 0
print(time.process_time(), process_peak_bytes(), file=sys.stderr)
"""

FIELDS: dict[str, Any] = {
    "label": "a", "model": "A", "num_frames": 8, "crop_size": 224, "gmacs": 300.0, "num_views": 3,
    "counts_attention": "yes", "parameters_m": 50.0, "source": "s", "cause": "", "cause_gmacs": None,
    "cause_parameters_m": None, "not_built": "",
}  # fmt: skip


def published(**changed: Any) -> Published:
    return Published(**{**FIELDS, **changed})


def costs(gmacs: float, attention: float = 0, parameters_m: float = 50) -> Costs:
    macs = int(gmacs * 1e9)
    count = MacsCount(
        status="exact", macs_per_view=macs, flop_counter_macs=macs, closed_form_macs=macs,
        attention_macs=int(attention * 1e9),
    )  # fmt: skip
    return Costs(num_parameters=int(parameters_m * 1e6), macs=count, num_views=3, macs_per_video=3 * macs)


@pytest.mark.parametrize(
    ("row", "cost", "explained"),
    [
        (published(), costs(101.4), True),
        (published(), costs(101.6), False),
        (published(), costs(98.4), False),
        (published(counts_attention="no"), costs(120, attention=20), True),
        (published(counts_attention="no"), costs(100, attention=20), False),
        (published(cause="c", cause_gmacs=20.0), costs(121), True),
        (published(cause="c", cause_gmacs=20.0), costs(100), False),
    ],
)
def test_a_gap_is_explained_by_the_limit_or_by_its_cause(row: Published, cost: Costs, explained: bool) -> None:
    found = macs_difference(row, cost)
    assert found is not None
    assert found.is_explained is explained


def test_parameters_have_their_own_cause() -> None:
    found = parameter_difference(published(cause="c", cause_parameters_m=5.0), costs(100, parameters_m=55))
    assert found is not None
    assert (found.relative, found.unexplained) == (pytest.approx(0.1), pytest.approx(0))
    assert parameter_difference(published(parameters_m=None), costs(100)) is None
    assert macs_difference(published(gmacs=None), costs(100)) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": ""}, "either a label or"),
        ({"not_built": "why"}, "either a label or"),
        ({"cause": "a story"}, "a cause needs a number"),
        ({"cause_gmacs": "3"}, "a cause needs a number"),
        ({"gmacs": "many"}, "gmacs"),
        ({"num_views": "0"}, "num_views"),
        ({"counts_attention": "maybe"}, "counts_attention"),
    ],
)
def test_a_broken_row_is_named_with_its_line(tmp_path: Path, changed: dict[str, str], message: str) -> None:
    file = tmp_path / "table.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS)
        writer.writeheader()
        writer.writerow({**FIELDS, **changed})
    with pytest.raises(UserError, match=message) as caught:
        read_published(file)
    assert str(caught.value).startswith(f"{file}:2")


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("label,gmacs\n")
    with pytest.raises(UserError, match="the columns are"):
        read_published(tmp_path / "t.csv")


def test_labels_must_be_rows_of_the_sweep() -> None:
    with pytest.raises(UserError, match="label of no row"):
        by_label([published()], ["b"], TABLE)
    with pytest.raises(UserError, match="twice"):
        by_label([published(), published()], ["a"], TABLE)


@pytest.fixture(scope="module")
def counted() -> tuple[dict[str, dict[str, Any]], float, int]:
    """Return the rows of `cost` by label, and CPU seconds and peak bytes of its process."""
    done = subprocess.run([sys.executable, "-c", RUN], cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, peak = done.stderr.split()[-2:]
    return {row["label"]: row for row in json.loads(done.stdout)}, float(seconds), int(peak)


@pytest.mark.slow
def test_the_whole_table_is_cheap(counted: tuple[dict[str, dict[str, Any]], float, int]) -> None:
    rows, cpu_seconds, peak = counted
    assert len(rows) >= 25
    assert cpu_seconds < 60
    # the weights of the largest model alone are 2.5 GB
    assert peak < 1.5e9


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in ROWS if row.label], ids=lambda row: row.label)
def test_every_published_number_is_reproduced_or_its_gap_has_a_cause(
    row: Published, counted: tuple[dict[str, dict[str, Any]], float, int]
) -> None:
    ours = counted[0][row.label]
    assert ours["status"] == "exact"
    for name in ("macs", "parameters"):
        unexplained = ours[f"{name}_unexplained"]
        assert unexplained is None or abs(unexplained) <= LIMIT, f"{name}: {unexplained:+.2%} beyond what is explained"
    assert any(ours[f"{name}_unexplained"] is not None for name in ("macs", "parameters"))


@pytest.mark.slow
def test_every_row_of_the_sweep_was_published(counted: tuple[dict[str, dict[str, Any]], float, int]) -> None:
    assert set(counted[0]) == {row.label for row in ROWS if row.label}
