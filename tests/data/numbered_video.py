"""Frames whose number can be read from their pixels."""

from __future__ import annotations

import numpy as np

NUM_BITS = 8
CELL = 16  # pixels of one bit's square: survives lossy codecs


def numbered_frame(number: int) -> np.ndarray:
    """Returns a frame (H, W, 3) whose number can be read from its pixels: one black or white square for each bit."""
    bits = [(number >> bit) & 1 for bit in range(NUM_BITS)]
    row = np.repeat(np.array(bits, np.uint8) * 255, CELL)
    return np.repeat(np.repeat(row[None, :, None], 2 * CELL, 0), 3, 2)


def read_number(frame: np.ndarray) -> int:
    """Returns the number of a frame: the inverse of `numbered_frame`."""
    bits = frame[CELL, CELL // 2 :: CELL, 1] > 127
    return int(sum(1 << bit for bit, is_set in enumerate(bits) if is_set))
