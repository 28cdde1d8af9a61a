"""Reports name every version of the code in a row, and ignore code that cannot change a trial."""

from __future__ import annotations

import pytest
from harness.reports import html, table
from harness.reports.common.conditions import conditions, warnings
from harness.reports.common.row_statistics import summarise
from harness.reports.common.table_data import build

from harness.record import Record
from harness.store.load import LoadedRun
from tests.reports.factory import make_record, make_row, make_run


def run_of(codes: dict[str, list[str | None]], variant: str = "mixing", **environment: object) -> LoadedRun:
    """A run with rows a and b whose seeds were made by these versions of the code."""
    made: list[Record] = []
    for row, versions in codes.items():
        for seed, code in enumerate(versions):
            config = {"variant": {"name": variant if row == "a" else "mixing"}}
            record = make_record(f"{row}-s{seed}", seed, config=config, environment=dict(environment))
            made.append(record.model_copy(update={"code": code}))
    rows = [make_row("a", "A", {"x": 0}, range(2)), make_row("b", "B", {"x": 1}, range(2))]
    return make_run(rows, made, axes=("x",), baseline="a")


@pytest.mark.parametrize(
    ("versions", "listed"),
    [
        (["1a", "2b"], "1a (1 seed); 2b (1 seed)"),
        (["1a", "1a+2b"], "1a (1 seed); 1a, then 2b (1 seed)"),
        (["1a", None], "1a (1 seed); not recorded (1 seed)"),
        (["1a+2b", "1a+2b"], "1a, then 2b (2 seeds)"),
    ],
)
def test_a_row_of_two_versions_is_marked_and_the_report_names_both(versions: list[str | None], listed: str) -> None:
    run = run_of({"a": ["1a", "1a"], "b": versions})
    baseline, row = summarise(run)
    assert f"several versions of the code: {listed}" in row.marks
    assert not any("versions" in mark for mark in baseline.marks)
    (warning,) = [text for text in warnings(run) if "versions" in text]
    assert warning.startswith("Trials of mixing were made by several versions of the code")
    assert all(code.replace("+", ", then ") in warning for code in versions if code)
    for text in (table.markdown(run, build(run)), html.page(run)):
        assert "several versions of the code" in text


def test_two_rows_of_one_variant_by_two_versions_are_a_warning() -> None:
    (warning,) = [text for text in warnings(run_of({"a": ["1a", "1a"], "b": ["2b", "2b"]})) if "versions" in text]
    assert "1a (2 trials); 2b (2 trials)" in warning


def test_variants_by_two_versions_of_the_harness_are_a_warning() -> None:
    run = run_of({"a": ["1a", "1a"], "b": ["2b", "2b"]}, variant="joint", trunk="cc")
    assert not any("versions" in text for text in warnings(run))
    for trial in ("b-s0", "b-s1"):
        run.records[trial].environment["trunk"] = "dd"
    (warning,) = [text for text in warnings(run) if "versions" in text]
    assert "cc (2 trials); dd (2 trials)" in warning


def test_what_cannot_change_a_trial_is_no_warning() -> None:
    run = run_of({"a": ["1a", "1a"], "b": ["1a", "1a"]})
    for number, record in enumerate(run.records.values()):
        record.environment |= {"git_dirty": bool(number % 2), "git_commit": f"{number}" * 40, "code_hash": str(number)}
    assert not any("version" in text or "uncommitted" in text for text in warnings(run))
    assert not any("version" in mark for row in summarise(run) for mark in row.marks)
    (commits,) = [item for item in conditions(run) if item.name == "code (git commit)"]
    assert len(commits.values) == 4, "the commit is information"
