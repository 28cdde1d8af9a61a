"""Scale, crop and flip of whole clips; random choices are made once per clip, so that its frames stay aligned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from harness.data.sets.video_list import VideoListConfig

NUM_SIDES = 3  # left, centre, right


@dataclass(frozen=True)
class TrainView:
    """The spatial choices of one training clip: short side in pixels, place of the crop in 0..1, flip."""

    short_side: int
    top: float
    left: float
    flip: bool


def draw_train_view(data: VideoListConfig, crop_size: int, rng: np.random.Generator) -> TrainView:
    """Draws the scale, the place of the crop and the flip of a training clip."""
    short_side = data.scale_size or crop_size
    if data.scale_jitter is not None:
        low, high = (round(short_side * factor) for factor in data.scale_jitter)
        short_side = int(rng.integers(low, high, endpoint=True))
    top, left = (float(place) for place in rng.random(2))
    return TrainView(short_side, top, left, data.flip and bool(rng.integers(2)))


def scale_short_side(clip: torch.Tensor, size: int) -> torch.Tensor:
    """Resizes uint8 (T, C, H, W) so that the short side has `size` pixels; the long side is rounded down.

    Bilinear with antialiasing. A clip of that size is returned unchanged.
    """
    height, width = clip.shape[-2:]
    short = min(height, width)
    if short == size:
        return clip
    shape = [height * size // short, width * size // short]
    scaled = functional.interpolate(clip.float(), shape, mode="bilinear", antialias=True)
    return scaled.round_().clamp_(0, 255).to(torch.uint8)


def train_crop(clip: torch.Tensor, view: TrainView, size: int) -> torch.Tensor:
    """Scales, crops and flips (T, C, H, W) to (T, C, size, size)."""
    clip = scale_short_side(clip, view.short_side)
    height, width = clip.shape[-2:]
    top, left = int(view.top * (height - size + 1)), int(view.left * (width - size + 1))
    crop = clip[..., top : top + size, left : left + size]
    return crop.flip(-1) if view.flip else crop


def eval_crops(clip: torch.Tensor, short_side: int, size: int, num_crops: int) -> torch.Tensor:
    """Scales (T, C, H, W) and cuts (num_crops, T, C, size, size).

    One crop is the centre; three slide along the longer side: left, centre, right, or top, centre, bottom.
    """
    clip = scale_short_side(clip, short_side)
    height, width = clip.shape[-2:]
    crops = [_side_crop(clip, height - size, width - size, side, size) for side in range(NUM_SIDES)]
    return torch.stack(crops if num_crops == NUM_SIDES else crops[1:2])


def _side_crop(clip: torch.Tensor, spare_height: int, spare_width: int, side: int, size: int) -> torch.Tensor:
    top, left = _centre(spare_height), _centre(spare_width)
    if spare_width >= spare_height:
        left = (0, left, spare_width)[side]
    else:
        top = (0, top, spare_height)[side]
    return clip[..., top : top + size, left : left + size]


def _centre(spare: int) -> int:
    return (spare + 1) // 2  # rounded up, as SlowFast does
