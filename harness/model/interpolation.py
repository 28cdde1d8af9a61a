"""Position embeddings resized for another crop or number of frames, or in joint tables, as each source does it.

Tables are (1, length, D) without class-token rows. Methods are named after what they compute; the docstrings name
their sources.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from harness.errors import UserError


def _image(table: Tensor, grid: tuple[int, int]) -> Tensor:
    return table.unflatten(1, grid).permute(0, 3, 1, 2)


def _row(image: Tensor) -> Tensor:
    return image.flatten(2).transpose(1, 2)


def square_side(length: int, what: str) -> int:
    """Return the side of a square grid of `length` places. Raises: UserError if the grid is not square."""
    side = math.isqrt(length)
    if side * side != length:
        raise UserError(f"{what}: {length} places are no square grid and cannot be resized; use the size of the file")
    return side


def resize_spatial(table: Tensor, grid: tuple[int, int], new_grid: tuple[int, int], method: str) -> Tensor:
    """Resize positions (1, h w, D) of a grid for another grid.

    bicubic: old timm, X-ViT, Motionformer. bicubic_antialias: timm since 2022; equal to bicubic if nothing shrinks.
    bilinear_corners: the JAX ViT and ViViT (the corner places of both grids coincide).
    nearest: TimeSformer in its forward pass. nearest_flat: TimeSformer when it loads a file, which treats the grid as a
    line and so shears it; only for reproducing its results.
    """
    if grid == new_grid:
        return table
    if method == "nearest_flat":
        return F.interpolate(table.transpose(1, 2), size=new_grid[0] * new_grid[1], mode="nearest").transpose(1, 2)
    image = _image(table, grid)
    if method == "bilinear_corners":
        return _row(F.interpolate(image, size=new_grid, mode="bilinear", align_corners=True))
    if method == "nearest":
        return _row(F.interpolate(image, size=new_grid, mode="nearest"))
    if method in ("bicubic", "bicubic_antialias"):
        antialias = method == "bicubic_antialias"
        return _row(F.interpolate(image, size=new_grid, mode="bicubic", align_corners=False, antialias=antialias))
    raise ValueError(method)


def resize_temporal(table: Tensor, num_frames: int, method: str) -> Tensor:
    """Resize positions (1, T, D) for another number of frames.

    nearest: TimeSformer. linear: ViViT (first and last frame coincide). tile: frame t takes row t mod T, as the
    released X-ViT code does with its 8 rows.
    """
    if table.shape[1] == num_frames:
        return table
    if method == "tile":
        return table.repeat(1, -(-num_frames // table.shape[1]), 1)[:, :num_frames]
    line = table.transpose(1, 2)
    if method == "linear":
        return F.interpolate(line, size=num_frames, mode="linear", align_corners=True).transpose(1, 2)
    if method == "nearest":
        return F.interpolate(line, size=num_frames, mode="nearest").transpose(1, 2)
    raise ValueError(method)


def resize_joint(
    table: Tensor, shape: tuple[int, int, int], new_shape: tuple[int, int, int], spatial: str, temporal: str
) -> Tensor:
    """Resize positions (1, T h w, D), time slowest, for another (T, h, w): frames in space, then places in time."""
    frames, (new_frames, height, width) = shape[0], new_shape
    by_frame = table.unflatten(1, (frames, -1)).flatten(0, 1)
    by_frame = resize_spatial(by_frame, shape[1:], (height, width), spatial)
    by_place = by_frame.unflatten(0, (table.shape[0], frames)).transpose(1, 2).flatten(0, 1)
    resized = resize_temporal(by_place, new_frames, temporal)
    return resized.unflatten(0, (table.shape[0], -1)).transpose(1, 2).flatten(1, 2)
