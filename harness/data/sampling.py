"""Sampling: the frames of a video that form a clip.

Source: SlowFast (dense) and its Something-Something loader (uniform); mmaction2 UniformSample for several clips.
Indices are exact, in presentation order, and never beyond the last frame.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

REFERENCE_FPS = 30
Indices = NDArray[np.int64]


def dense_span(num_frames: int, sampling_rate: int, fps: Fraction) -> float:
    """Returns how many frames of the video a clip spans: num_frames * sampling_rate at 30 frames per second."""
    return float(num_frames * sampling_rate * fps / REFERENCE_FPS)


def dense_train(length: int, num_frames: int, span: float, rng: np.random.Generator) -> Indices:
    """Draws indices (num_frames,) over `span` frames from a uniformly drawn start."""
    return _spread(length, num_frames, span, rng.uniform(0, max(length - span, 0)))


def dense_test(length: int, num_frames: int, span: float, clip: int, num_clips: int) -> Indices:
    """Returns indices (num_frames,) of test clip `clip`, which starts at clip / num_clips of the free frames."""
    return _spread(length, num_frames, span, max(length - span, 0) * clip / num_clips)


def uniform_train(length: int, num_frames: int, rng: np.random.Generator) -> Indices:
    """Draws indices (num_frames,): one frame of each of num_frames equal segments, both ends included."""
    starts, ends = _segments(length, num_frames)
    return rng.integers(starts, ends, endpoint=True)


def uniform_test(length: int, num_frames: int, clip: int, num_clips: int) -> Indices:
    """Returns indices (num_frames,): the middle of each segment; with several clips, evenly spaced frames of it."""
    starts, ends = _segments(length, num_frames)
    if num_clips == 1:
        return (starts + ends) // 2
    within = int((length - 1) / num_frames / (num_clips + 1) * (clip + 1))
    return np.minimum(starts + within, length - 1)


def _spread(length: int, num_frames: int, span: float, start: float) -> Indices:
    places = np.linspace(start, start + span - 1, num_frames)
    # A place that is an integer in exact arithmetic must not be rounded down to the frame before it.
    return np.floor(places.clip(0, length - 1) + 1e-9).astype(np.int64)


def _segments(length: int, num_frames: int) -> tuple[Indices, Indices]:
    bounds = np.rint((length - 1) / num_frames * np.arange(num_frames + 1)).astype(np.int64)
    return bounds[:-1], bounds[1:]
