"""Estimates the time that a run still needs, from the attempts of its trials."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.launch.overview import Standing

NUM_SAMPLES = 16  # trials whose attempts are read: a run may have thousands
GUESSED_TIMING_SECONDS = 5.0  # before the first trial is timed


def seconds_left(found: Sequence[Standing], *, timed: bool = True) -> float | None:
    """Returns the seconds until all open trials are trained and timed; None while nothing runs, or too little is known.

    Assumes that as many trials train at once as now. On one machine trials are timed one at a time, in jobs side by
    side. `timed`: trials are timed after training.
    """
    running = [item for item in found if item.status == "running"]
    waiting = [item for item in found if item.is_open]
    to_train = sum(1.0 - _fraction(item) for item in waiting if not item.is_trained)
    per_training = _median(_spent(_some(item for item in found if item.is_trained), "train")) or _median(
        _rates(running)
    )
    if not running or (to_train and per_training is None):
        return None
    in_jobs = any(item.written.job for item in running)
    per_timing = _median(_spent(_some(item for item in found if item.status == "done"), "measure"))
    timings = len(waiting) * (per_timing or GUESSED_TIMING_SECONDS) if timed else 0.0
    training = to_train * per_training if per_training else 0.0
    return training / len(running) + timings / (len(running) if in_jobs else 1)


def _fraction(item: Standing) -> float:
    """Returns the part of its steps that a trial has trained."""
    return min(1.0, item.written.step / item.written.num_steps) if item.written.num_steps else 0.0


def _some(found: Iterable[Standing]) -> list[Standing]:
    """Returns at most `NUM_SAMPLES` trials, evenly spread."""
    every = list(found)
    return every[:: max(1, len(every) // NUM_SAMPLES)][:NUM_SAMPLES]


def _spent(found: Sequence[Standing], stage: str) -> list[float]:
    """Returns the seconds that each trial spent in a stage, over all its attempts that noted their end."""
    return [
        sum(
            float(attempt["at"]) - float(attempt["began"])
            for attempt in item.folder.attempts()
            if attempt.get("stage") == stage and _are_times(attempt.get("at"), attempt.get("began"))
        )
        for item in found
    ]


def _rates(running: Sequence[Standing]) -> list[float]:
    """Returns, for each trial that trains in its first attempt, the seconds that all its steps take at its speed."""
    found = []
    for item in running:
        began = [attempt.get("began") for attempt in item.folder.attempts()[-1:]]
        if item.written.num_starts == 1 and _fraction(item) and began and _are_times(*began):
            found.append((min(time.time(), item.written.updated_at) - float(began[0] or 0)) / _fraction(item))
    return found


def _are_times(*values: object) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _median(seconds: Sequence[float]) -> float | None:
    """Returns the median; clocks that were changed, or attempts without an end, do not count."""
    sound = [value for value in seconds if value > 0]
    return median(sound) if sound else None
