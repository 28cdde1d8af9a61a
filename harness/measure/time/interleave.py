"""Times several calls in turn, so that changes of the machine during the measurement affect all of them equally."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pydantic import AliasChoices, Field

from harness.measure.time.allocator import keep_freed_memory
from harness.measure.time.latency import sample_calls
from harness.measure.time.noise_probe import NoiseProbe
from harness.record import RecordModel

WARMUP_CALLS = 3
MAX_CALLS_PER_VISIT = 50


#: row -> milliseconds of its first call (which loads code, and compiles under torch.compile) and of the second
FirstCalls = dict[str, tuple[float, float]]


class Visit(RecordModel):
    """The samples of one row at one of its turns, in the order in which they were taken."""

    block: int
    row: str
    samples_ms: list[float]
    noise_probe_ms: float | None = Field(
        None,
        validation_alias=AliasChoices("noise_probe_ms", "reference_ms"),
        description="noise probe just before, milliseconds; None on a GPU",
    )


def interleave(
    makers: Mapping[str, Callable[[], Callable[[], Any]]], *, num_blocks: int, visit_seconds: float, seed: int,
    device: str = "cpu",
) -> tuple[list[Visit], FirstCalls]:  # fmt: skip
    """Return the visits of all rows, and the times of each row's first two calls.

    A block visits the rows in random order and then in reverse (ABBA for two rows), which cancels a steady drift. The
    rows are also built in random order, since the first one may get better places in memory. On CPU, the noise probe
    is timed before each visit, and the process keeps freed memory from now on (`harness.measure.time.allocator`).
    """
    probe = None
    if device == "cpu":
        keep_freed_memory()
        probe = NoiseProbe()
    generator = np.random.default_rng(seed)
    rows = list(makers)
    calls = {rows[index]: makers[rows[index]]() for index in generator.permutation(len(rows))}
    first = {row: (sample_calls(call, device, 1)[0], sample_calls(call, device, 1)[0]) for row, call in calls.items()}
    per_visit = {row: _calls_per_visit(call, visit_seconds, device) for row, call in calls.items()}
    visits = []
    for block in range(num_blocks):
        order = [rows[index] for index in generator.permutation(len(rows))]
        for row in order + order[::-1]:
            probe_ms = probe and probe.time_ms()
            samples = sample_calls(calls[row], device, per_visit[row])
            visits.append(Visit(block=block, row=row, samples_ms=samples, noise_probe_ms=probe_ms))
    return visits, first


def _calls_per_visit(call: Callable[[], Any], visit_seconds: float, device: str) -> int:
    """Warm up, and return how many calls fill a visit."""
    start = time.perf_counter()
    samples: list[float] = []
    while len(samples) < WARMUP_CALLS or time.perf_counter() - start < 2 * visit_seconds:
        samples += sample_calls(call, device, 1)
    return int(np.clip(round(1e3 * visit_seconds / float(np.median(samples))), 1, MAX_CALLS_PER_VISIT))
