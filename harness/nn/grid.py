"""Strided windows and convolutions over a grid of tokens (time, height, width)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Place = tuple[int, int, int]  # (time, height, width)


def strided(grid: Sequence[int], stride: Sequence[int]) -> Place:
    """Return the grid after pooling, which keeps ceil(n / stride) of n places along each axis."""
    t, h, w = (-(-size // step) for size, step in zip(grid, stride, strict=True))
    return t, h, w


def windows(grid: Sequence[int], stride: Sequence[int], kernel: Sequence[int], place: Place | None = None) -> Tensor:
    """Return bool (places of the strided grid, places of the grid): what each window of `kernel` places covers.

    The window of place o starts at o * stride - kernel // 2 along each axis (padding kernel // 2). `place` picks one
    place of the window instead of all.
    """
    covers = torch.ones(1, 1)
    for axis, (size, step, width) in enumerate(zip(grid, stride, kernel, strict=True)):
        start = torch.arange(-(-size // step))[:, None] * step - width // 2
        inside = torch.arange(size)[None] - start
        along = (inside >= 0) & (inside < width) if place is None else inside == place[axis]
        covers = torch.kron(covers, along.float())
    return covers > 0


def convolve(convolution: nn.Module, volume: Tensor) -> Tensor:
    """Apply a convolution with one filter per channel to a volume (B, c, t, h, w)."""
    if volume.dtype == torch.bfloat16 and volume.device.type == "cpu":
        # where channels lie innermost and the grid is small, the gradient of the weights reads memory that oneDNN
        # (3.12, torch 2.13) never wrote: NaN there makes the gradient NaN
        volume = volume.clone(memory_format=torch.contiguous_format)
    return convolution(volume)
