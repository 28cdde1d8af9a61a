"""Blocks that do not count, processes that are started again, and memory that is kept, against planted neighbours."""

from __future__ import annotations

import ctypes
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from harness.bench import comparison, machine_best
from harness.bench.comparison import MAX_PROCESSES_FACTOR, BenchOptions, BenchResult, compare_rows, row_result
from harness.bench.machine_best import MachineBest
from harness.bench.quiet_blocks import MIN_QUIET_BLOCKS, ProcessRun, best_noise_probe, choose_runs
from harness.measure.isolated.request import Answer, Request
from harness.measure.time.interleave import interleave
from harness.measure.time.noise_probe import Patience

QUIET_MS, BUSY_MS = 1.0, 1.3  # of the reference work
THREE = BenchOptions(num_processes=3)
TRUE_RATIO, BUSY_RATIO = 1.2, 0.9  # a neighbour slows the baseline more

FAULTS = """
import resource, torch
{keep}
def call():
    a = torch.ones(1 << 20)
    (a * 2).sum()
for _ in range(5):
    call()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    call()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep: str) -> int:
    # as a process that gives freed blocks back, which glibc does by default for some and not for others
    environment = {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    script = FAULTS.format(keep=keep)
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs a C library with mallopt")
def test_a_process_that_keeps_freed_memory_faults_no_page_in_twice() -> None:
    keep = "from harness.measure.time.allocator import keep_freed_memory; assert keep_freed_memory()"
    given_back = page_faults("")
    assert given_back > 20 * 2 * 4 * 2**20 / resource.getpagesize() / 4  # two blocks of 4 MiB a call, mostly
    assert page_faults(keep) < given_back / 5


def answer(busy: list[bool]) -> Answer:
    """A process with one block for each entry, made while a neighbour was busy or not."""
    visits = []
    for block, is_busy in enumerate(busy):
        base, ratio = (20.0, BUSY_RATIO) if is_busy else (10.0, TRUE_RATIO)
        visits += [
            {"block": block, "row": row, "samples_ms": [value] * 3, "reference_ms": BUSY_MS if is_busy else QUIET_MS}
            for row, value in (("base", base), ("row", base * ratio))
        ]
    values = {
        "visits": visits, "first_calls_ms": {"base": (1.0, 1.0), "row": (1.0, 1.0)},
        "energy": {"base": (None, None), "row": (None, None)}, "preflight": {"dirty": []},
    }  # fmt: skip
    return Answer(status="done", values=values)


def runs(*processes: list[bool]) -> list[ProcessRun]:
    return [ProcessRun(repeat=i, rows=["base", "row"], answer=answer(busy)) for i, busy in enumerate(processes)]


def test_blocks_beside_a_busy_neighbour_do_not_count() -> None:
    made = runs([False] * 4 + [True] * 6, [True] * 7 + [False] * 3, [True] * 10)
    best = best_noise_probe(made)
    assert best == QUIET_MS
    found = row_result("row", "base", made, THREE, best)
    assert found.ratio == pytest.approx(TRUE_RATIO)
    assert found.median_ms == pytest.approx(12.0)
    assert (found.num_set_aside, found.num_blocks, found.num_processes) == (23, 30, 2)
    assert found.marks == ["2 of the 3 requested processes ran on a quiet machine"]


def test_a_process_with_too_few_quiet_blocks_gives_none() -> None:
    (one,) = runs([False] * (MIN_QUIET_BLOCKS - 1) + [True] * 5)
    assert one.quiet_blocks(QUIET_MS) == []
    (short,) = runs([False])  # asked for fewer blocks than that
    assert len(short.quiet_blocks(QUIET_MS)) == 1


def test_what_was_never_quiet_counts_in_full_and_is_marked() -> None:
    made = runs([True] * 4, [True] * 4)
    found = row_result("row", "base", made, THREE, best_noise_probe(made, known_ms=QUIET_MS))
    assert found.ratio == pytest.approx(BUSY_RATIO)
    assert found.num_set_aside == 0
    assert found.marks[0].startswith("never quiet")
    alone = row_result("row", "base", made, THREE, best_noise_probe(made))  # nothing better is known of this machine
    assert "never quiet" not in str(alone.marks)


def test_where_one_process_was_asked_for_one_quiet_one_is_enough() -> None:
    made = runs([True] * 4, [False] * 4)
    found = row_result("row", "base", made, BenchOptions(num_processes=1), QUIET_MS)
    assert found.ratio == pytest.approx(TRUE_RATIO)
    assert (found.ratio_low, found.num_processes, found.marks) == (None, 1, [])


def test_a_fault_of_a_process_that_does_not_count_is_no_mark() -> None:
    made = runs([False] * 4, [False] * 4, [True] * 4)
    made[2].answer.values["preflight"]["dirty"] = ["a", "b"]
    assert "dirty" not in str(row_result("row", "base", made, THREE, QUIET_MS).marks)
    made[0].answer.values["preflight"]["dirty"] = ["a", "b", "c"]
    assert "dirty in 1 of 2 processes: a" in row_result("row", "base", made, THREE, QUIET_MS).marks


def test_what_is_known_of_the_cpu_is_nothing_to_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "ask", lambda request, timeout_s: answer([False] * 4))
    train = {"device": "cuda", "num_threads": 1, "precision": "fp32"}
    begin = time.monotonic()
    options = BenchOptions(num_processes=1, patience_s=5)
    compare_rows({"base": {"train": train}, "row": {"train": train}}, "base", options, known_best_ms=1e-9)
    assert time.monotonic() - begin < 3


def test_without_the_reference_work_every_block_counts() -> None:
    made = runs([True] * 4, [False] * 4)
    for item in made:
        for visit in item.answer.values["visits"]:
            visit["reference_ms"] = None
    assert best_noise_probe(made) is None
    assert choose_runs(made, None, 2).num_set_aside == 0


@pytest.mark.parametrize(("busy_at_first", "started"), [(0, 3), (2, 5), (100, 3 * MAX_PROCESSES_FACTOR)])
def test_processes_that_met_a_busy_machine_are_started_again(
    monkeypatch: pytest.MonkeyPatch, busy_at_first: int, started: int
) -> None:
    asked: list[int] = []

    def ask(request: Request, *, timeout_s: float) -> Answer:
        asked.append(request.seed)
        return answer([len(asked) <= busy_at_first] * 4)

    monkeypatch.setattr(comparison, "ask", ask)
    train = {"device": "cpu", "num_threads": 1, "precision": "fp32"}
    configs = {"base": {"train": train}, "row": {"train": train}}
    said: list[str] = []
    options = BenchOptions(num_processes=3, patience_s=0)
    found = compare_rows(configs, "base", options, said.append, known_best_ms=QUIET_MS)
    assert len(found.runs) == len(set(asked)) == started
    assert found.rows[1].ratio == pytest.approx(BUSY_RATIO if busy_at_first == 100 else TRUE_RATIO)
    assert sum("not quiet" in line for line in said) == min(busy_at_first, started)


def test_a_process_that_gave_no_answer_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "ask", lambda request, timeout_s: Answer(status="oom", message="m"))
    train = {"device": "cpu", "num_threads": 1, "precision": "fp32"}
    found = compare_rows({"base": {"train": train}, "row": {"train": train}}, "base", BenchOptions(num_processes=2))
    assert [run.answer.status for run in found.runs] == ["oom", "oom"]


def test_patience_ends_at_once_on_a_quiet_machine_and_in_time_on_a_busy_one() -> None:
    threads = torch.get_num_threads()
    patience = Patience(0.6)
    patience.wait(best_ms=1e9, num_threads=1)
    patience.wait(best_ms=None, num_threads=1)
    assert patience.left_s > 0.4
    begin = time.monotonic()
    patience.wait(best_ms=1e-9, num_threads=1)  # no machine is that fast
    assert 0.3 < time.monotonic() - begin < 5
    assert patience.left_s <= 0
    begin = time.monotonic()
    patience.wait(best_ms=1e-9, num_threads=1)
    assert time.monotonic() - begin < 0.1
    assert torch.get_num_threads() == threads


def test_each_visit_on_a_cpu_has_the_reference_work_beside_it() -> None:
    visits, _ = interleave({"a": lambda: lambda: None}, num_blocks=2, visit_seconds=0.001, seed=0)
    assert all(visit.reference_ms is not None and visit.reference_ms > 0 for visit in visits)


def test_the_best_of_a_machine_is_learned_from_enough_looks_only(tmp_path: Path) -> None:
    known = MachineBest(tmp_path / "machine.json", {})
    few = machine_best.MIN_NOISE_PROBES // 2 - 1  # two rows: two looks a block
    known.learn(runs([False] * few))
    assert known.read() is None
    known.learn(runs([False] * few, [False]))
    assert known.read() == QUIET_MS
    MachineBest(known.file / "below a file", {}).learn(runs([False] * 100))  # what cannot be kept is no error


def test_the_best_of_a_machine_is_remembered_by_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"cpu_model": "a", "hostname_hash": "h", "torch": "t", "num_threads": 1, "git_commit": "x"}
    known = MachineBest(tmp_path / "machine.json", here)
    assert known.read() is None
    known.note(2.0)
    assert known.read() == 2.0
    known.note(3.0)  # a busy one
    assert known.read() == 2.0
    known.note(0.1)  # a moment of luck
    assert known.read() == 2.0
    assert MachineBest(known.file, here | {"git_commit": "y"}).read() == 2.0
    other = MachineBest(known.file, here | {"num_threads": 2})
    assert other.read() is None
    other.note(0.5)
    assert (known.read(), other.read()) == (2.0, 0.5)
    with monkeypatch.context() as patch:
        patch.setattr(machine_best, "WORK", "another piece of work")
        assert MachineBest(known.file, here).read() is None
    for _ in range(20):  # another kind of machine under the same name
        known.note(7.0)
    assert known.read() == 7.0
    for damaged in ("not json", "[]", json.dumps({"x": 1}), known.file.read_text().replace("7.0", '"7"')):
        known.file.write_text(damaged)
        assert known.read() is None
    known.note(4.0)
    assert known.read() == 4.0


def test_selftest_learns_from_enough_looks_and_from_quiet_comparisons_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.cli import selftest

    short = BenchOptions(num_processes=2, num_blocks=2)
    learning = selftest._learning(short)
    assert 4 * learning.num_blocks * learning.num_processes >= machine_best.MIN_NOISE_PROBES
    assert selftest._learning(BenchOptions()) == BenchOptions()
    known = MachineBest(tmp_path / "machine.json", {})
    seen = []

    def fake(configs: object, baseline: str, options: BenchOptions, *, known_best_ms: float | None) -> BenchResult:
        seen.append(known_best_ms)
        made = runs(*[[len(seen) > 1] * 50] * 2)  # quiet at first, then busy for good
        best = best_noise_probe(made, known_best_ms)
        rows = [row_result(row, "base", made, options, best) for row in ("base", "row")]
        return BenchResult(baseline="base", options=options, rows=rows, runs=made)

    monkeypatch.setattr("harness.bench.comparison.compare_rows", fake)
    found = [selftest._compare({"base": {}, "row": {}}, short, known) for _ in range(5)]
    assert seen == [None, QUIET_MS, QUIET_MS, QUIET_MS, QUIET_MS]
    assert [selftest._was_quiet(row) for row in found] == [True, False, False, False, False]
