"""Interleaving, ratios, and the statistics of a comparison, against delays and ratios that are known."""

from __future__ import annotations

import time

import numpy as np
import pytest

from harness.bench.comparison import MAX_ROWS_PER_PROCESS, BenchOptions, BenchResult, compare_rows, row_result, row_sets
from harness.bench.quiet_blocks import ProcessRun
from harness.cli.bench import cells
from harness.errors import UserError
from harness.measure.isolated.request import Answer
from harness.measure.time.interleave import interleave
from harness.stats.ratios import ratio_of

ONE = BenchOptions(num_processes=1)


def process(generator: np.random.Generator, slower: float, drift: float = 0.0) -> list[dict[str, list[float]]]:
    """Blocks of one process: row B takes `slower` times as long as A, with noise of samples and of the process."""
    own = np.exp(generator.normal(0, 0.01, 2))
    blocks = []
    for index in range(8):
        level = 1 + drift * index
        blocks.append(
            {
                "A": list(level * own[0] * np.exp(generator.normal(0, 0.05, 20))),
                "B": list(level * slower * own[1] * np.exp(generator.normal(0, 0.05, 20))),
            }
        )
    return blocks


def test_a_known_ratio_is_found_under_drift() -> None:
    generator = np.random.default_rng(0)
    ratio = ratio_of([process(generator, 1.2, drift=0.3) for _ in range(6)], "B", "A")
    assert ratio.ratio == pytest.approx(1.2, rel=0.03)
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low < 1.2 < ratio.high
    assert ratio.is_significant


def test_equal_rows_come_out_different_about_as_often_as_promised() -> None:
    generator = np.random.default_rng(1)
    wrong = sum(ratio_of([process(generator, 1.0) for _ in range(4)], "B", "A").is_significant for _ in range(400))
    assert 4 <= wrong <= 40  # 20 expected at 5 %


def test_one_process_proves_nothing() -> None:
    ratio = ratio_of([process(np.random.default_rng(2), 3.0)], "B", "A")
    assert ratio.low is None
    assert not ratio.is_significant


def test_every_block_visits_each_row_twice_in_mirrored_order() -> None:
    made: list[str] = []

    def maker(name: str, seconds: float):  # type: ignore[no-untyped-def]
        def make():  # type: ignore[no-untyped-def]
            made.append(name)
            return lambda: time.sleep(seconds)

        return make

    makers = {name: maker(name, seconds) for name, seconds in (("a", 0.001), ("b", 0.003), ("c", 0.001))}
    visits, first = interleave(makers, num_blocks=4, visit_seconds=0.004, seed=5)
    assert sorted(made) == sorted(first) == ["a", "b", "c"]
    assert all(call >= 1 for pair in first.values() for call in pair)
    orders = [[visit.row for visit in visits if visit.block == block] for block in range(4)]
    for order in orders:
        assert order == order[::-1]
        assert sorted(order[:3]) == ["a", "b", "c"]
    assert len({tuple(order) for order in orders}) > 1
    slow = [value for visit in visits if visit.row == "b" for value in visit.samples_ms]
    assert min(slow) >= 3


def run(rows: dict[str, float], repeat: int, dirty: list[str] | None = None) -> ProcessRun:
    visits = [
        {"block": block, "row": row, "samples_ms": [value, value]} for block in range(2) for row, value in rows.items()
    ]
    values = {
        "visits": visits,
        "first_calls_ms": {row: (9.0 if repeat == 0 else 5.0, value) for row, value in rows.items()},
        "energy": {row: (0.5 * (1 + repeat), "made up") if row == "row" else (None, None) for row in rows},
        "preflight": {"dirty": dirty or []},
    }
    return ProcessRun(repeat=repeat, rows=list(rows), answer=Answer(status="done", values=values))


def test_a_row_is_summed_up_over_its_processes_with_marks() -> None:
    runs = [run({"base": 2.0, "row": 3.0}, 0), run({"base": 2.0, "row": 3.02}, 1, ["a neighbour"])]
    runs.append(ProcessRun(repeat=2, rows=["base", "row"], answer=Answer(status="oom", message="m")))
    found = row_result("row", "base", runs, ONE)
    assert found.ratio == pytest.approx(1.505, rel=1e-3)
    assert found.significant
    assert found.first_call_ms == 7
    assert found.second_call_ms == pytest.approx(3.01)
    assert (found.energy_j_per_clip, found.energy_source) == (0.75, "made up")
    assert found.compile_ms is None  # eager
    assert "a neighbour" in found.marks[0]
    assert "1 of 3 processes gave no numbers: oom" in found.marks[1]


def test_compile_time_is_that_of_the_process_that_met_an_empty_cache() -> None:
    runs = [run({"base": 2.0, "row": 3.0}, 0), run({"base": 2.0, "row": 3.0}, 1)]
    assert row_result("row", "base", runs, BenchOptions(compile="inductor")).compile_ms == 9 - 3
    runs[0] = ProcessRun(repeat=0, rows=["base", "row"], answer=Answer(status="timeout", message="m"))
    assert row_result("row", "base", runs, BenchOptions(compile="inductor")).compile_ms is None


def test_without_a_meter_energy_is_absent_and_not_zero() -> None:
    found = row_result("base", "base", [run({"base": 2.0, "row": 3.0}, 0)], ONE)
    assert (found.energy_j_per_clip, found.energy_source) == (None, None)
    result = BenchResult(baseline="base", options=BenchOptions(), rows=[found], runs=[])
    assert cells(found, result, with_energy=True)[6] == "-"
    assert len(cells(found, result, with_energy=False)) == len(cells(found, result, with_energy=True)) - 1


def test_samples_that_lie_far_apart_are_marked() -> None:
    wide = run({"base": 2.0, "row": 3.0}, 0)
    for index, visit in enumerate(wide.answer.values["visits"]):
        visit["samples_ms"] = [2.0 + index, 3.0 + index]
    assert row_result("row", "base", [wide], ONE).marks[0].startswith("unstable")
    assert row_result("row", "base", [run({"base": 2.0, "row": 3.0}, 0)], ONE).marks == []


@pytest.mark.parametrize(("field", "value"), [("device", "cuda"), ("num_threads", 2)])
def test_rows_of_different_devices_or_threads_are_refused(field: str, value: object) -> None:
    ours = {"train": {"device": "cpu", "num_threads": 1, "precision": "fp32"}}
    with pytest.raises(UserError, match=f"train.{field}: base has .* but row: {value}"):
        compare_rows({"base": ours, "row": {"train": ours["train"] | {field: value}}}, "base", BenchOptions())


def test_a_row_without_an_answer_has_a_status_and_no_numbers() -> None:
    lost = ProcessRun(repeat=0, rows=["base", "row"], answer=Answer(status="timeout", message="no answer"))
    found = row_result("row", "base", [lost], ONE)
    assert (found.status, found.median_ms, found.ratio) == ("timeout", None, None)


def test_each_process_holds_the_baseline_and_each_row_is_held_once() -> None:
    sets = list(row_sets([f"r{i}" for i in range(7)], "base"))
    assert all(rows[0] == "base" and len(rows) <= MAX_ROWS_PER_PROCESS for rows in sets)
    assert [row for rows in sets for row in rows[1:]] == [f"r{i}" for i in range(7)]
