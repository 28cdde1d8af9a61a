"""Channels that frames lend to each other, by slices of whole frames; `plain.lend_channels` is the oracle."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Fold = tuple[int, int, int]  # (offset in frames, first channel, end channel)


def shift(x: Tensor, offset: int, ends: str) -> Tensor:
    """Return y[:, t] = x[:, t + offset]; `ends`: what lies outside the clip, as in `source_frame`."""
    num_frames = x.shape[1]
    if ends == "circular":
        return x.roll(-offset, dims=1)
    distance = min(abs(offset), num_frames)
    kept = x[:, distance:] if offset > 0 else x[:, : num_frames - distance]
    edge = x[:, -1:] if offset > 0 else x[:, :1]
    filler = edge.expand(-1, distance, *x.shape[2:])
    filler = filler if ends == "replicate" else torch.zeros_like(filler)
    return torch.cat([kept, filler] if offset > 0 else [filler, kept], dim=1)


def lend_channels(x: Tensor, folds: Sequence[Fold], ends: str = "zero") -> Tensor:
    """Take channels of the last dimension from other frames (dimension 1); `folds` follow each other from channel 0."""
    if not folds:
        return x
    pieces = [shift(x[..., first:end], offset, ends) for offset, first, end in folds]
    return torch.cat([*pieces, x[..., folds[-1][2] :]], dim=-1)


def source_frame(frame: int, num_frames: int, ends: str = "zero") -> int | None:
    """Return the frame that stands for `frame`, which may lie outside the clip; None means zeros.

    ends: 'zero', 'replicate' (the end frame) or 'circular' (the other end).
    """
    if 0 <= frame < num_frames:
        return frame
    if ends == "zero":
        return None
    return frame % num_frames if ends == "circular" else min(max(frame, 0), num_frames - 1)
