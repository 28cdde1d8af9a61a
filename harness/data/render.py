"""Draws scenes of one antialiased shape per frame on a smooth background, with pixel noise.

Only additions, products, minima and maxima touch pixels, so that the bytes do not depend on a machine's vector
units, and each clip is drawn by itself, so that they do not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
GRID = 3  # knots of the background along each side
NOTHING = -1


@dataclass(frozen=True)
class Scene:
    """The content of one clip. Lengths are in units of the frame's side, angles in radians, colours in 0..1.

    `shapes` (T,) indexes `SHAPES` or is NOTHING; `x`, `y` (the centre), `radius`, `angle` are (T,), x to the right
    and y down, so that a growing angle turns clockwise. `ink` is (3,), `background` the colours (3, GRID, GRID).
    """

    shapes: Ints
    x: Floats
    y: Floats
    radius: Floats
    angle: Floats
    ink: Floats
    background: Floats
    labels: dict[str, int]


def _box(u: Floats, v: Floats, half_width: float, half_height: float) -> Floats:
    return np.maximum(np.abs(u) - np.float32(half_width), np.abs(v) - np.float32(half_height))


def _bar(u: Floats, v: Floats) -> Floats:
    return _box(u, v, 1.0, 0.32)


def _triangle(u: Floats, v: Floats) -> Floats:
    slanted = np.float32(0.8660254) * np.abs(u) - np.float32(0.5) * v
    return np.maximum(v, slanted) - np.float32(0.5)


def _ell(u: Floats, v: Floats) -> Floats:
    return np.minimum(_box(u + 0.45, v, 0.3, 0.9), _box(u - 0.05, v - 0.6, 0.8, 0.3))


def _plus(u: Floats, v: Floats) -> Floats:
    return np.minimum(_box(u, v, 1.0, 0.28), _box(u, v, 0.28, 1.0))


# Signed distances to the outline in units of the radius; (u, v) are the shape's own axes. No two shapes are equal
# under rotation and scaling.
SHAPES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "bar": _bar,
    "triangle": _triangle,
    "ell": _ell,
    "plus": _plus,
}
_OUTLINES = tuple(SHAPES.values())


def render(scene: Scene, size: int, noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws a scene as uint8 frames (T, 3, size, size); `noise` is the standard deviation, pixel range 0..1."""
    ground = _background(scene.background, size)
    covered = _coverage(scene, size)[:, None]
    frames = ground + covered * (scene.ink[:, None, None] - ground)
    if noise > 0:
        frames += np.float32(noise) * rng.standard_normal(frames.shape, dtype=np.float32)
    frames *= np.float32(255)
    frames += np.float32(0.5)
    return np.clip(frames, 0, 255, out=frames).astype(np.uint8)


def _coverage(scene: Scene, size: int) -> Floats:
    """Returns the share of each pixel (T, size, size) that the shape covers, 0..1."""
    covered = np.zeros((len(scene.shapes), size, size), np.float32)
    for shape in np.unique(scene.shapes[scene.shapes != NOTHING]):
        shown = scene.shapes == shape
        covered[shown] = _cover(scene, shown, _OUTLINES[shape], size)
    return covered


def _cover(scene: Scene, shown: NDArray[np.bool_], outline: Callable[[Floats, Floats], Floats], size: int) -> Floats:
    radius = (scene.radius[shown] * np.float32(size))[:, None, None]
    pixels = np.arange(size, dtype=np.float32) + np.float32(0.5)
    dx = pixels[None, None, :] - (scene.x[shown] * np.float32(size))[:, None, None]
    dy = pixels[None, :, None] - (scene.y[shown] * np.float32(size))[:, None, None]
    cos = (np.cos(scene.angle[shown].astype(np.float64)).astype(np.float32))[:, None, None] / radius
    sin = (np.sin(scene.angle[shown].astype(np.float64)).astype(np.float32))[:, None, None] / radius
    distance = outline(cos * dx + sin * dy, cos * dy - sin * dx) * radius
    return np.clip(np.float32(0.5) - distance, 0, 1)


def _background(colours: Floats, size: int) -> Floats:
    """Interpolates colours (3, GRID, GRID) linearly to (3, size, size)."""
    weights = _knot_weights(size)
    rows = np.zeros((3, size, GRID), np.float32)
    ground = np.zeros((3, size, size), np.float32)
    for knot in range(GRID):
        rows += weights[knot][None, :, None] * colours[:, knot, None, :]
    for knot in range(GRID):
        ground += weights[knot][None, None, :] * rows[:, :, knot, None]
    return ground


@lru_cache(maxsize=8)
def _knot_weights(size: int) -> Floats:
    """Returns the weight (GRID, size) of each knot at each pixel centre; the knots lie on the outer pixels."""
    places = np.linspace(0, GRID - 1, size, dtype=np.float32)
    knots = np.arange(GRID, dtype=np.float32)[:, None]
    return np.maximum(np.float32(1) - np.abs(places - knots), 0)
