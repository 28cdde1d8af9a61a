"""Times several calls in turn, so that whatever changes on the machine meanwhile meets all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pydantic import Field

from harness.measure.time.allocator import keep_freed_memory
from harness.measure.time.latency import sample_calls
from harness.measure.time.noise_probe import Reference
from harness.record import RecordModel

WARMUP_CALLS = 3
MAX_CALLS_PER_VISIT = 50


#: the first call of a row (loads, and under torch.compile compiles) and the one after it, in milliseconds
FirstCalls = dict[str, tuple[float, float]]


class Visit(RecordModel):
    """The samples of one row at one of its turns, in the order they were taken."""

    block: int
    row: str
    samples_ms: list[float]
    reference_ms: float | None = Field(None, description="the reference work just before, milliseconds; None on a GPU")


def interleave(
    makers: Mapping[str, Callable[[], Callable[[], Any]]], *, num_blocks: int, visit_seconds: float, seed: int,
    device: str = "cpu",
) -> tuple[list[Visit], FirstCalls]:  # fmt: skip
    """Visits of all rows, and each row's first two calls.

    A block visits the rows in a random order and then in the reverse of it (ABBA for two), which cancels a steady
    drift. The rows are also made in random order, since what is made first may lie better in memory. On CPU, the
    reference work is timed before each visit, and this process keeps from then on the memory that it frees
    (`harness.measure.time.allocator`).
    """
    reference = None
    if device == "cpu":
        keep_freed_memory()
        reference = Reference()
    generator = np.random.default_rng(seed)
    rows = list(makers)
    calls = {rows[index]: makers[rows[index]]() for index in generator.permutation(len(rows))}
    first = {row: (sample_calls(call, device, 1)[0], sample_calls(call, device, 1)[0]) for row, call in calls.items()}
    per_visit = {row: _calls_per_visit(call, visit_seconds, device) for row, call in calls.items()}
    visits = []
    for block in range(num_blocks):
        order = [rows[index] for index in generator.permutation(len(rows))]
        for row in order + order[::-1]:
            beside = reference and reference.time_ms()
            samples = sample_calls(calls[row], device, per_visit[row])
            visits.append(Visit(block=block, row=row, samples_ms=samples, reference_ms=beside))
    return visits, first


def _calls_per_visit(call: Callable[[], Any], visit_seconds: float, device: str) -> int:
    """Warms up; how many calls fill a visit."""
    start = time.perf_counter()
    samples: list[float] = []
    while len(samples) < WARMUP_CALLS or time.perf_counter() - start < 2 * visit_seconds:
        samples += sample_calls(call, device, 1)
    return int(np.clip(round(1e3 * visit_seconds / float(np.median(samples))), 1, MAX_CALLS_PER_VISIT))
