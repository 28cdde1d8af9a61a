"""Frame indices compared with values computed by hand from the definitions, and properties for every length."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.sampling import dense_span, dense_test, dense_train, uniform_test, uniform_train


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_span_counts_frames_at_thirty_per_second() -> None:
    assert dense_span(8, 8, Fraction(30)) == 64
    assert dense_span(8, 8, Fraction(15)) == 32
    assert dense_span(16, 4, Fraction(30000, 1001)) == pytest.approx(63.936, abs=1e-3)


@pytest.mark.parametrize(
    ("clip", "num_clips", "expected"),
    [
        (0, 1, [0, 10, 20, 31]),  # linspace(0, 31, 4) = 0, 10.33, 20.67, 31
        (0, 2, [0, 10, 20, 31]),
        (1, 2, [34, 44, 54, 65]),  # free frames 100 - 32 = 68; the second clip starts at 34
        (3, 10, [20, 30, 41, 51]),  # starts at 20.4: 20.4, 30.73, 41.07, 51.4
    ],
)
def test_dense_clips_by_hand(clip: int, num_clips: int, expected: list[int]) -> None:
    assert dense_test(100, 4, 32.0, clip, num_clips).tolist() == expected


def test_dense_clip_of_a_short_video_repeats_its_last_frame() -> None:
    assert dense_test(5, 4, 8.0, 0, 1).tolist() == [0, 2, 4, 4]  # 0, 2.33, 4.67, 7


@given(st.integers(1, 64), st.integers(1, 8))
def test_dense_at_rate_one_reads_every_frame_of_a_clip_that_fits(num_frames: int, num_clips: int) -> None:
    assert dense_test(num_frames, num_frames, float(num_frames), 0, num_clips).tolist() == list(range(num_frames))


def test_uniform_clips_by_hand() -> None:
    # 10 frames, 4 segments of 2.25: bounds 0, 2.25, 4.5, 6.75, 9 -> 0, 2, 4, 7, 9 (halves to even)
    assert uniform_test(10, 4, 0, 1).tolist() == [1, 3, 5, 8]
    # two clips: int(2.25 / 3) = 0 and int(2.25 / 3 * 2) = 1 after the starts
    assert uniform_test(10, 4, 0, 2).tolist() == [0, 2, 4, 7]
    assert uniform_test(10, 4, 1, 2).tolist() == [1, 3, 5, 8]
    # nine frames, eight segments of one: both bounds belong to a segment
    assert uniform_test(9, 8, 0, 1).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_uniform_training_draws_both_ends_of_each_segment_and_nothing_else() -> None:
    drawn = np.stack([uniform_train(10, 4, _rng(seed)) for seed in range(400)])
    expected = [{0, 1, 2}, {2, 3, 4}, {4, 5, 6, 7}, {7, 8, 9}]
    assert [set(column.tolist()) for column in drawn.T] == expected


def test_dense_training_starts_uniformly_over_the_free_frames() -> None:
    starts = np.array([dense_train(100, 4, 32.0, _rng(seed))[0] for seed in range(4000)])
    assert starts.min() == 0
    assert starts.max() == 67
    counts = np.histogram(starts, bins=4, range=(0, 68))[0]
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000 * 0.75)


@given(st.integers(1, 400), st.integers(1, 64), st.integers(1, 8), st.integers(1, 10), st.integers(0, 2**32))
def test_indices_exist_and_do_not_decrease(length: int, num_frames: int, rate: int, num_clips: int, seed: int) -> None:
    span = dense_span(num_frames, rate, Fraction(25))
    clips = [dense_test(length, num_frames, span, clip, num_clips) for clip in range(num_clips)]
    clips += [uniform_test(length, num_frames, clip, num_clips) for clip in range(num_clips)]
    clips += [dense_train(length, num_frames, span, _rng(seed)), uniform_train(length, num_frames, _rng(seed))]
    for indices in clips:
        assert indices.shape == (num_frames,)
        assert indices.min() >= 0
        assert indices.max() < length
        assert (np.diff(indices) >= 0).all()
