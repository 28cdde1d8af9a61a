"""Interleaving, ratios, and the statistics of a comparison, against delays and ratios that are known."""

from __future__ import annotations

import time

import numpy as np
import pytest

from harness.launch.bench import MAX_ROWS_PER_PROCESS, ProcessRun, row_result, row_sets
from harness.measure.interleave import interleave
from harness.measure.probe import Answer
from harness.stats.ratios import ratio_of


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
    values = {"visits": visits, "first_call_ms": dict.fromkeys(rows, 9.0), "preflight": {"dirty": dirty or []}}
    return ProcessRun(repeat=repeat, rows=list(rows), answer=Answer(status="done", values=values))


def test_a_row_is_summed_up_over_its_processes_with_marks() -> None:
    runs = [run({"base": 2.0, "row": 3.0}, 0), run({"base": 2.0, "row": 3.02}, 1, ["a neighbour"])]
    runs.append(ProcessRun(repeat=2, rows=["base", "row"], answer=Answer(status="oom", message="m")))
    found = row_result("row", "base", runs)
    assert found.ratio == pytest.approx(1.505, rel=1e-3)
    assert found.significant
    assert found.first_call_ms == 9
    assert "a neighbour" in found.marks[0]
    assert "1 of 3 processes gave no answer: oom" in found.marks[1]


def test_a_row_without_an_answer_has_a_status_and_no_numbers() -> None:
    lost = ProcessRun(repeat=0, rows=["base", "row"], answer=Answer(status="timeout", message="no answer"))
    found = row_result("row", "base", [lost])
    assert (found.status, found.median_ms, found.ratio) == ("timeout", None, None)


def test_each_process_holds_the_baseline_and_each_row_is_held_once() -> None:
    sets = list(row_sets([f"r{i}" for i in range(7)], "base"))
    assert all(rows[0] == "base" and len(rows) <= MAX_ROWS_PER_PROCESS for rows in sets)
    assert [row for rows in sets for row in rows[1:]] == [f"r{i}" for i in range(7)]
