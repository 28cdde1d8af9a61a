"""Fits the embedding tensors of a file to a model with another crop, other frames or tubelets.

Each function returns the fitted tensor, its list in the report, and what was done to it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harness.errors import UserError
from harness.model.inflation import inflate_average, inflate_central_frame, tile_positions
from harness.model.interpolation import resize_joint, resize_spatial, resize_temporal, square_side


class Fitted(NamedTuple):
    """A tensor for one parameter, its list in the report (loaded, resized, inflated), and what was done to it."""

    tensor: Tensor
    how: str = "loaded"
    detail: str = ""


class Target(NamedTuple):
    """The token grid (T, h, w) of the model, and the names of the methods."""

    shape: tuple[int, int, int]
    spatial: str
    temporal: str
    tubelet_inflation: str
    position_frames: int | None


def fit_patches(kernel: Tensor, like: Tensor, target: Target) -> Fitted:
    """Fit a patch kernel (D, C, p, p) to a model with tubelets (D, C, t, p, p)."""
    if kernel.ndim == 4 and like.ndim == 5:
        inflate = {"central_frame": inflate_central_frame, "average": inflate_average}[target.tubelet_inflation]
        return Fitted(
            inflate(kernel, like.shape[2]), "inflated", f"to {like.shape[2]} frames, {target.tubelet_inflation}"
        )
    return Fitted(kernel)


def split_class(table: Tensor, has_class: bool) -> tuple[Tensor, Tensor]:
    """Split a table (1, [1+]n, D) into class rows and places."""
    return table[:, : int(has_class)], table[:, int(has_class) :]


def _spatial_places(places: Tensor, target: Target) -> Fitted:
    grid = target.shape[1:]
    if places.shape[1] == grid[0] * grid[1]:
        return Fitted(places)
    side = square_side(places.shape[1], "spatial positions")
    resized = resize_spatial(places, (side, side), grid, target.spatial)
    return Fitted(resized, "resized", f"{side}x{side} -> {grid[0]}x{grid[1]}, {target.spatial}")


def fit_spatial(table: Tensor, has_class: bool, like: Tensor, like_has_class: bool, target: Target) -> Fitted:
    """Fit spatial positions (1, [1+]S, D); without a class row in the file, the model keeps its own."""
    rows, places = split_class(table, has_class)
    return _with_class_row(_spatial_places(places, target), rows, like, like_has_class)


def _with_class_row(fitted: Fitted, rows: Tensor, like: Tensor, like_has_class: bool) -> Fitted:
    if not like_has_class:
        gone = "row of the class token left out" if rows.shape[1] else ""
        return fitted._replace(detail=", ".join(filter(None, (fitted.detail, gone))))
    if rows.shape[1]:
        return fitted._replace(tensor=torch.cat([rows, fitted.tensor], dim=1))
    detail = ", ".join(filter(None, (fitted.detail, "row of the class token as initialised")))
    return Fitted(torch.cat([like[:, :1].to(fitted.tensor.dtype), fitted.tensor], dim=1), fitted.how, detail)


def fit_temporal(table: Tensor, target: Target) -> Fitted:
    """Fit temporal positions (1, T, D)."""
    frames = target.shape[0]
    if table.shape[1] == frames:
        return Fitted(table)
    if not target.temporal:
        raise UserError(
            f"temporal positions: {table.shape[1]} frames in the file, {frames} in the model, and their source has no "
            f"method; choose weights.temporal_interpolation"
        )
    detail = f"{table.shape[1]} -> {frames} frames, {target.temporal}"
    return Fitted(resize_temporal(table, frames, target.temporal), "resized", detail)


def fit_joint(table: Tensor, has_class: bool, like: Tensor, like_has_class: bool, target: Target) -> Fitted:
    """Fit joint positions (1, [1+]T S, D), without the class row."""
    rows, places = split_class(table, has_class)
    frames, height, width = target.shape
    if places.shape[1] == frames * height * width and target.position_frames in (None, frames):
        return _with_class_row(Fitted(places), rows, like, like_has_class)
    shape = _joint_shape(places.shape[1], target)
    if not target.temporal and shape[0] != frames:
        raise UserError("joint positions: their source has no method for time; choose weights.temporal_interpolation")
    resized = resize_joint(places, shape, target.shape, target.spatial, target.temporal)
    before, after = ("x".join(map(str, grid)) for grid in (shape, target.shape))
    methods = " and ".join(filter(None, (target.spatial, target.temporal)))
    return _with_class_row(Fitted(resized, "resized", f"{before} -> {after}, {methods}"), rows, like, like_has_class)


def _joint_shape(length: int, target: Target) -> tuple[int, int, int]:
    frames = target.position_frames
    if frames is None or length % frames:
        places = target.shape[0] * target.shape[1] * target.shape[2]
        raise UserError(
            f"joint positions: {length} places in the file, {places} in the model; the file does not "
            f"give the number of frames: set weights.position_frames (token frames of its clip, a divisor of {length})"
        )
    side = square_side(length // frames, "joint positions of a frame")
    return frames, side, side


def fit_image_to_joint(table: Tensor, has_class: bool, like: Tensor, like_has_class: bool, target: Target) -> Fitted:
    """Repeat image positions as joint ones, equal for every frame. Source: ViViT."""
    rows, places = split_class(table, has_class)
    spatial, frames = _spatial_places(places, target), target.shape[0]
    detail = ", ".join(filter(None, (spatial.detail, f"repeated for {frames} frames")))
    return _with_class_row(
        Fitted(tile_positions(spatial.tensor, frames, 0), "inflated", detail), rows, like, like_has_class
    )
