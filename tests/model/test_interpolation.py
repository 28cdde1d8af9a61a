"""Positions resized for another clip, against values computed by hand and by scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.errors import UserError
from harness.model.interpolation import resize_joint, resize_spatial, resize_temporal, square_side

SPATIAL = ["bicubic", "bicubic_antialias", "bilinear_corners", "nearest", "nearest_flat"]


def table(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1)


def numbers(x: Tensor) -> list[float]:
    return x.flatten().tolist()


def random(length: int, dim: int = 3) -> Tensor:
    return torch.randn(1, length, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_temporal_by_hand() -> None:
    assert numbers(resize_temporal(table(1, 2), 4, "nearest")) == [1, 1, 2, 2]
    assert numbers(resize_temporal(table(1, 2, 3), 5, "linear")) == [1, 1.5, 2, 2.5, 3]
    assert numbers(resize_temporal(table(1, 2, 3), 2, "linear")) == [1, 3]
    assert numbers(resize_temporal(table(1, 2, 3), 7, "tile")) == [1, 2, 3, 1, 2, 3, 1]
    assert numbers(resize_temporal(table(1, 2, 3), 2, "tile")) == [1, 2]


def test_eight_rows_tiled_give_frame_t_row_t_mod_8() -> None:
    rows = table(*range(8))
    assert numbers(resize_temporal(rows, 16, "tile")) == [t % 8 for t in range(16)]


def test_spatial_by_hand() -> None:
    grid = table(0, 1, 2, 3)  # [[0, 1], [2, 3]]
    nearest = [0, 0, 1, 1] * 2 + [2, 2, 3, 3] * 2
    assert numbers(resize_spatial(grid, (2, 2), (4, 4), "nearest")) == nearest
    assert numbers(resize_spatial(grid, (2, 2), (4, 4), "nearest_flat")) == [i // 4 for i in range(16)]
    corners = [0, 0.5, 1, 1, 1.5, 2, 2, 2.5, 3]
    assert numbers(resize_spatial(grid, (2, 2), (3, 3), "bilinear_corners")) == pytest.approx(corners)


@pytest.mark.parametrize("method", SPATIAL)
def test_the_same_grid_is_untouched(method: str) -> None:
    assert resize_spatial(random(6), (2, 3), (2, 3), method).equal(random(6))


@pytest.mark.parametrize(("method", "antialias"), [("bicubic", False), ("bicubic_antialias", True)])
@pytest.mark.parametrize("grid", [(6, 6), (3, 2), (4, 5)])
def test_bicubic_is_that_of_torch_on_the_grid(method: str, antialias: bool, grid: tuple[int, int]) -> None:
    places = random(16)
    image = places.view(4, 4, 3).permute(2, 0, 1).unsqueeze(0)
    expected = (
        F.interpolate(image, size=grid, mode="bicubic", antialias=antialias)[0].permute(1, 2, 0).reshape(1, -1, 3)
    )
    assert torch.allclose(resize_spatial(places, (4, 4), grid, method), expected, atol=1e-12)


def test_both_bicubics_agree_unless_something_shrinks() -> None:
    grown = [resize_spatial(random(9), (3, 3), (5, 5), method) for method in ("bicubic", "bicubic_antialias")]
    shrunk = [resize_spatial(random(36), (6, 6), (3, 3), method) for method in ("bicubic", "bicubic_antialias")]
    assert not torch.allclose(*shrunk)
    assert grown[0].shape == (1, 25, 3)


@pytest.mark.parametrize("grid", [(5, 5), (2, 2)])
def test_bilinear_corners_is_scipys_zoom(grid: tuple[int, int]) -> None:
    places = random(9)
    zoom = (grid[0] / 3, grid[1] / 3, 1)
    expected = scipy.ndimage.zoom(places.view(3, 3, 3).numpy(), zoom, order=1).reshape(1, -1, 3)
    assert np.allclose(resize_spatial(places, (3, 3), grid, "bilinear_corners").numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("num_frames", [3, 7])
def test_linear_is_scipys_zoom(num_frames: int) -> None:
    rows = random(4)
    expected = scipy.ndimage.zoom(rows[0].numpy(), (num_frames / 4, 1), order=1)
    assert np.allclose(resize_temporal(rows, num_frames, "linear")[0].numpy(), expected, atol=1e-12)


def test_joint_of_separate_positions_is_the_sum_of_the_resized_ones() -> None:
    space, time = random(4), random(3) * 2
    joint = (time.view(3, 1, 3) + space.view(1, 4, 3)).reshape(1, -1, 3)
    got = resize_joint(joint, (3, 2, 2), (5, 4, 3), "bilinear_corners", "linear")
    resized_time = resize_temporal(time, 5, "linear").view(5, 1, 3)
    resized_space = resize_spatial(space, (2, 2), (4, 3), "bilinear_corners").view(1, 12, 3)
    assert torch.allclose(got, (resized_time + resized_space).reshape(1, -1, 3), atol=1e-12)


def test_a_table_that_is_no_square_is_refused() -> None:
    assert square_side(196, "x") == 14
    with pytest.raises(UserError, match="12 places are no square"):
        square_side(12, "x")
