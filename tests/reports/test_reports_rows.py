"""Rows: statistics against scipy and by hand; nothing vanishes, nothing is compared that must not be."""

from __future__ import annotations

import numpy as np
import pytest
from harness.reports import accuracy_cost, html, table
from harness.reports.common.conditions import conditions, warnings
from harness.reports.common.row_statistics import headline, labels, summarise
from harness.reports.common.table_data import build
from harness.reports.trials import frame
from scipy import stats

from harness.record import Record
from harness.store.load import LoadedRun
from tests.reports.factory import make_record, make_row, make_run, window_run


def two_rows(first: list[Record], second: list[Record], axes: tuple[str, ...] = ("a",)) -> LoadedRun:
    rows = [make_row("a", "A", {"a": 0}, range(4)), make_row("b", "B", {"a": 1}, range(4))]
    return make_run(rows, [*first, *second], axes=axes, baseline="a")


def records(row: str, correct: list[int], **changes: object) -> list[Record]:
    return [make_record(f"{row}-s{s}", s, {"verb": c}, **changes) for s, c in enumerate(correct)]  # type: ignore[arg-type]


def test_accuracy_and_paired_difference_are_those_of_scipy() -> None:
    first, second = [1000, 1100, 1050, 980], [1200, 1250, 1310, 1190]
    baseline, row = summarise(two_rows(records("a", first), records("b", second)))
    shares = np.array(second) / 2000
    low, high = stats.t.interval(0.95, 3, loc=shares.mean(), scale=stats.sem(shares))
    assert (row.top1["verb"].low, row.top1["verb"].high) == pytest.approx((low, high))
    oracle = stats.ttest_rel(second, first).confidence_interval(0.95)
    assert row.difference is not None
    ends = (row.difference.estimate.low, row.difference.estimate.high)
    assert ends == pytest.approx((oracle.low / 2000, oracle.high / 2000))
    assert row.difference.p_value == row.adjusted_p == 0.125
    assert baseline.difference is None
    assert baseline.is_baseline


def test_p_values_of_all_rows_are_adjusted_together() -> None:
    rows = summarise(window_run(num_seeds=8))
    raw = [row.difference.p_value for row in rows if row.difference]
    assert raw == [2 / 256] * 4
    assert [row.adjusted_p for row in rows if row.difference] == [8 / 256] * 4


def test_pairs_are_the_common_seeds() -> None:
    _, row = summarise(two_rows(records("a", [1000, 1100]), records("b", [1200, 1250, 1900])))
    assert row.difference is not None
    assert row.difference.num_pairs == 2
    assert row.difference.estimate.mean == pytest.approx(350 / 2 / 2000)


def test_headline_is_action_then_verb_then_the_only_label() -> None:
    def of(*names: str) -> LoadedRun:
        return two_rows([make_record("a-s0", 0, dict.fromkeys(names, 10))], [])

    assert headline(of("noun", "action", "verb")) == "action"
    assert labels(of("noun", "action", "verb", "colour")) == ["verb", "noun", "action", "colour"]
    assert headline(of("noun", "verb")) == "verb"
    assert headline(of("class")) == "class"
    assert headline(two_rows([], [])) is None


def test_a_row_without_results_stays_with_its_reasons() -> None:
    run = make_run(
        [make_row("a", "A", {}, range(3))], [], statuses={"a-s0": ("oom", "no memory\nat line 3"), "a-s1": ("done", "")}
    )
    (row,) = summarise(run)
    assert row.top1 == {}
    assert row.marks == (
        "oom: no memory (1 of 3 seeds)",
        "done, but record.json is missing (1 of 3 seeds)",
        "pending (1 of 3 seeds)",
    )
    assert warnings(run) == ["3 of 3 trials have no result: rows with missing seeds are marked."]


def test_one_seed_has_no_interval_and_a_mark() -> None:
    (row,) = summarise(make_run([make_row("a", "A", {}, [0])], [make_record("a-s0")]))
    assert row.top1["verb"].half_width is None
    assert row.marks == ("n = 1: no interval and no test",)


def test_costs_are_the_median_over_trials_with_their_range() -> None:
    found = [make_record(f"a-s{s}", s, latency_ms=ms) for s, ms in enumerate([4.0, 9.0, 5.0])]
    row, _ = summarise(two_rows(found, []))
    latency = row.costs["latency_ms"]
    assert (latency.median, latency.low, latency.high, latency.num_trials) == (5.0, 4.0, 9.0, 3)
    # the factory's batch of 16 takes nine times the latency of one clip
    assert row.costs["throughput_clips_per_s"].median == pytest.approx(16 / (9 * 5e-3))
    assert row.costs["macs_per_view"].marks == ()


@pytest.mark.parametrize(
    ("environment", "config", "named"),
    [
        ({"cpu_model": "other"}, {}, "hardware"),
        ({"torch": "2.12.0"}, {}, "torch"),
        ({"sdpa_backend": "flash"}, {}, "SDPA backend"),
        ({}, {"train": {"precision": "bf16", "device": "cpu"}}, "dtype"),
    ],
)
def test_the_minority_of_other_conditions_is_marked(
    environment: dict[str, str], config: dict[str, object], named: str
) -> None:
    other = records("b", [1, 2], environment=environment, config=config)
    run = two_rows(records("a", [1, 2, 3]), other)
    majority, minority = summarise(run)
    assert majority.costs["latency_ms"].comparable
    assert not minority.costs["latency_ms"].comparable
    assert "not comparable" in minority.costs["latency_ms"].marks[-1]
    assert minority.costs["macs_per_view"].comparable
    assert any(named in text and "must not be compared" in text for text in warnings(run))


def test_trials_measured_elsewhere_do_not_enter_the_median_of_their_row() -> None:
    here = records("a", [1, 2, 3], latency_ms=4.0)
    there = make_record("a-s3", 3, latency_ms=40.0, environment={"cpu_model": "other"})
    row, _ = summarise(two_rows([*here, there], []))
    latency = row.costs["latency_ms"]
    assert (latency.high, latency.num_trials) == (4.0, 3)
    assert latency.marks == ("1 of 4 trials ran under other conditions: left out",)


def test_a_dtype_that_the_sweep_varies_is_no_foreign_condition() -> None:
    bf16 = records("b", [1, 2], config={"train": {"precision": "bf16", "device": "cpu"}})
    run = two_rows(records("a", [1, 2, 3]), bf16, axes=("train.precision",))
    assert all(row.costs["latency_ms"].comparable for row in summarise(run))
    assert not any("compared" in text for text in warnings(run))


def test_marks_name_unstable_and_disturbed_timings_and_inexact_macs() -> None:
    record = make_record("a-s0")
    assert record.costs.timings is not None
    record.costs.timings.latency.unstable = True
    record.costs.timings.alone = False
    record.costs.macs.status = "lower_bound"
    record.costs.macs.uncounted_ops = {"aten::cumsum": 2}
    row, _ = summarise(two_rows([record], []))
    assert [mark.split()[0] for mark in row.costs["latency_ms"].marks] == ["unstable", "other"]
    assert row.costs["macs_per_view"].marks == ("MACs are a lower bound: not counted: aten::cumsum ×2",)


def test_a_dirty_timing_is_marked_with_its_reason_in_every_report() -> None:
    found = records("a", [1, 2, 3])
    for number, record in enumerate(found[1:]):
        assert record.costs.timings is not None
        record.costs.timings.preflight = {"dirty": [f"other processes use 1.{number} of 2 cores: python"]}
    run = two_rows(found, records("b", [1, 2]))
    row, clean = summarise(run)
    (mark,) = row.costs["latency_ms"].marks
    assert mark == "dirty timing: other processes use 1.0 of 2 cores: python (the first of 2 such marks)"
    assert row.costs["train_step_peak_bytes"].marks == clean.costs["latency_ms"].marks == ()
    grid = build(run)
    cells = dict(zip(grid.header, grid.rows[0], strict=True))
    (letter,) = cells["latency"].marks
    assert grid.marks[letter] == mark
    assert f"[{letter}] dirty timing" in table.markdown(run, grid)
    assert "dirty timing" in table.latex(run, grid)
    assert f"<dt>{letter}</dt><dd>dirty timing" in html.page(run)
    captions = {page.name: page.caption for page in accuracy_cost.figures(run)}
    assert "* A: dirty timing" in captions["accuracy_latency"]
    assert "dirty" not in captions["accuracy_macs"]
    assert any(text.startswith("2 of 5 trials were timed on a machine") for text in warnings(run))
    assert list(frame(run)["latency_ms_marks"].fillna(""))[:2] == [
        "",
        "dirty timing: other processes use 1.0 of 2 cores: python",
    ]


@pytest.mark.parametrize(
    ("probes_ms", "expected"),
    [
        ([1.0, 1.0, 1.05], None),
        ([1.0, 1.3, 1.2], "2 of 4 trials were timed while the machine was slower than at its best, by up to 30 %"),
        ([None, None, None], None),
        ([2.0, None, None], None),
    ],
)
def test_timings_on_a_slower_machine_give_a_warning(probes_ms: list[float | None], expected: str | None) -> None:
    found = records("a", [1, 2, 3])
    for record, value in zip(found, probes_ms, strict=True):
        assert record.costs.timings is not None
        record.costs.timings.noise_probe_ms = value
    shown = [text for text in warnings(two_rows(found, records("b", [1]))) if "slower than at its best" in text]
    assert [text.split(", so small")[0] for text in shown] == ([] if expected is None else [expected])


def test_times_of_other_noise_probes_are_not_compared() -> None:
    found = records("a", [1, 2, 3])
    for record, (work, value) in zip(found, [("large", 2.0), ("large", 2.1), ("small", 0.7)], strict=True):
        assert record.costs.timings is not None
        record.costs.timings.noise_probe_ms, record.costs.timings.noise_probe_work = value, work
    assert not any("slower than at its best" in text for text in warnings(two_rows(found, [])))


def test_a_trial_that_waits_for_its_timing_is_no_other_machine() -> None:
    found = records("a", [1, 2, 3])
    for record in found:
        record.config["train"]["device"] = "cpu"
        assert record.costs.timings is not None
        record.costs.timings.inference.freed_memory_kept = True
    found[2].costs.timings = None
    assert not any("freed memory" in text for text in warnings(two_rows(found, [])))
    assert found[1].costs.timings is not None
    found[1].costs.timings.inference.freed_memory_kept = None  # a record of earlier code
    assert any("freed memory" in text for text in warnings(two_rows(found, [])))


def test_masked_work_is_a_mark_of_executed_work() -> None:
    record = make_record("a-s0", macs=10_000_000)
    record.costs.macs.useful_macs = 8_000_000
    row, _ = summarise(two_rows([record], []))
    assert row.costs["macs_per_view"].marks == ("executed work; without the pairs that a mask drops: 8 MMACs",)


def test_conditions_list_every_value_met_and_live_without_an_environment() -> None:
    bare = make_record("b-s0")
    bare.environment.clear()
    run = two_rows(records("a", [1, 2]), [bare])
    found = {condition.name: condition.text for condition in conditions(run)}
    assert found["torch"] == "2.11.0 (2 trials); not recorded (1 trial)"
    assert found["optimizer steps"] == "600"
    assert found["hardware"].startswith("AMD EPYC")
    only = {condition.name for condition in conditions(two_rows([], [bare]))}
    assert "hardware" not in only


def test_results_of_other_code_are_marked_in_their_row_and_above_the_table() -> None:
    run = two_rows(records("a", [1000, 1100]), records("b", [1200, 1250]))
    assert not any("other code" in line for line in warnings(run))
    run.plan.stale.append("b-s1")
    baseline, row = summarise(run)
    assert "trained by other code than the sweep's (1 of 4 seeds)" in row.marks
    assert not any("other code" in mark for mark in baseline.marks)
    assert any("1 of 8 trials were trained by other code" in line for line in warnings(run))
