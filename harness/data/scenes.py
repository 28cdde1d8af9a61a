"""The tasks of moving_shapes: scenes, labels, and provable upper bounds of accuracy (ceilings).

A ceiling is the best accuracy that a kind of model can reach **on the test split itself**, whatever its weights:

* `bag_of_frames`: any function of the unordered frames. `one_frame`: any function of one frame, drawn uniformly,
  its time not given (delay: also of one frame at a given time). `additive`: class scores that are sums of terms, no
  term of which sees both the first and the last frame. `chance`: guessing all classes equally often.
* Closed under reversal (motion, order, cyclic): clip 2k+1 is clip 2k played backwards, noise included, and has the
  other label of a pair. Both hold the same frames, so a model that ignores order gives both the same answer and is
  right at most once. A single frame of unknown time occurs once in both clips: the same bound.
* Closed under exchange (delay): four clips 4k..4k+3 share everything but the cue (first frame) and the probe (last
  frame), of two shapes each; the answer is cue XOR probe. Each frame occurs in as many clips of one answer as of
  the other: one frame reaches 1/2. Additive scores a(cue) + b(probe) cannot rank all four right, because
  the scores of the two answers have the same sum: 3/4. A split that ends in half a group adds what that half allows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi
from typing import Literal

import numpy as np

from harness.data.data_set import Ceilings
from harness.data.render import GRID, NOTHING, SHAPES, Ints, Scene

NOUNS = tuple(SHAPES)
VERBS = ("right", "left", "down", "up", "turn_clockwise", "turn_counterclockwise", "grow", "shrink")
MAX_TURN_PER_FRAME = 0.22 * pi  # below half of the plus's symmetry (pi / 4), so that few frames do not alias


@dataclass(frozen=True)
class Task:
    """One task: its labels with class names, how to draw a scene, and how val and test are closed."""

    classes: dict[str, tuple[str, ...]]
    draw: Callable[[np.random.Generator, int], Scene]
    closure: Literal["none", "reversal", "exchange"]
    ceilings: Callable[[int], Ceilings]
    reversed_label: str = ""

    @property
    def group(self) -> int:
        """Returns the number of consecutive clips of val and test that form a group."""
        return {"none": 1, "reversal": 2, "exchange": 4}[self.closure]

    def mirrored(self, labels: dict[str, int]) -> dict[str, int]:
        """Returns the labels of the same clip played backwards: classes 2i and 2i+1 are exchanged."""
        return {name: value ^ 1 if name == self.reversed_label else value for name, value in labels.items()}


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _still(
    rng: np.random.Generator, shapes: Ints, labels: dict[str, int], radii: tuple[float, float], max_angle: float
) -> Scene:
    """Draws a scene whose colours, position, size and angle are random and constant."""
    num_frames = len(shapes)
    background = rng.uniform(0.0, 0.5, (3, GRID, GRID)).astype(np.float32)
    ink = rng.uniform(0.47, 1.0, 3).astype(np.float32)
    radius = _uniform(rng, *radii)
    x, y = (_uniform(rng, radius, 1 - radius) for _ in range(2))
    angle = _uniform(rng, -max_angle, max_angle)
    x_t, y_t, radius_t, angle_t = (np.full(num_frames, value, np.float32) for value in (x, y, radius, angle))
    return Scene(shapes, x_t, y_t, radius_t, angle_t, ink, background, labels)


def _symbols(rng: np.random.Generator, shapes: Ints, labels: dict[str, int]) -> Scene:
    """Draws a scene of large, nearly upright shapes: easy to distinguish, so that only their order is hard."""
    return _still(rng, shapes, labels, (0.3, 0.4), 0.1 * pi)


def draw_motion(rng: np.random.Generator, num_frames: int) -> Scene:
    """Draws a shape that moves along x or y, turns or changes its size, at constant speed, forwards or backwards."""
    noun, axis, backwards = (int(rng.integers(high)) for high in (len(NOUNS), len(VERBS) // 2, 2))
    labels = {"verb": 2 * axis + backwards, "noun": noun}
    scene = _still(rng, np.full(num_frames, noun, np.int64), labels, (0.22, 0.3), pi)
    moved = _moved(rng, axis, scene)
    return _backwards(moved) if backwards else moved


def _moved(rng: np.random.Generator, axis: int, scene: Scene) -> Scene:
    """Returns the scene with the motion along one of the four axes, played forwards."""
    radius, num_frames = float(scene.radius[0]), len(scene.shapes)
    if axis < 2:
        length = _uniform(rng, 0.18, 0.36)
        start = _uniform(rng, radius, 1 - radius - length)
        path = np.linspace(start, start + length, num_frames, dtype=np.float32)
        return replace(scene, y=path) if axis else replace(scene, x=path)
    if axis == 2:
        turn = min(_uniform(rng, 0.3 * pi, 0.8 * pi), MAX_TURN_PER_FRAME * (num_frames - 1))
        start = float(scene.angle[0])
        return replace(scene, angle=np.linspace(start, start + turn, num_frames, dtype=np.float32))
    small, large = _uniform(rng, 0.15, 0.2), _uniform(rng, 0.25, 0.32)
    return replace(scene, radius=np.linspace(small, large, num_frames, dtype=np.float32))


def _backwards(scene: Scene) -> Scene:
    x, y, radius, angle = (path[::-1] for path in (scene.x, scene.y, scene.radius, scene.angle))
    return replace(scene, x=x, y=y, radius=radius, angle=angle)


def draw_order(rng: np.random.Generator, num_frames: int) -> Scene:
    """Draws a bar and a triangle that flash, one in each half of the clip; the label says which comes first."""
    first = int(rng.integers(2))
    lasts = max(1, num_frames // 4)
    early = int(rng.integers(num_frames // 2 - lasts + 1))
    late = num_frames - lasts - int(rng.integers(num_frames // 2 - lasts + 1))
    shapes = np.full(num_frames, NOTHING, np.int64)
    shapes[early : early + lasts] = first
    shapes[late : late + lasts] = 1 - first
    return _symbols(rng, shapes, {"order": first})


def draw_cyclic(rng: np.random.Generator, num_frames: int) -> Scene:
    """Draws three shapes that alternate, starting with a random one, in one of the two cyclic orders.

    The random phase makes each shape equally likely in each frame for both classes, for any number of frames.
    """
    backwards, phase = int(rng.integers(2)), int(rng.integers(3))
    step = -1 if backwards else 1
    return _symbols(rng, (phase + step * np.arange(num_frames)) % 3, {"cycle": backwards})


def draw_delay(rng: np.random.Generator, num_frames: int) -> Scene:
    """Draws bar or triangle in the first and in the last frame, nothing between; the label says if they differ."""
    cue, probe = (int(bit) for bit in rng.integers(2, size=2))
    shapes = np.full(num_frames, NOTHING, np.int64)
    shapes[0], shapes[-1] = cue, probe
    return _symbols(rng, shapes, {"answer": cue ^ probe})


def exchange(scene: Scene, member: int) -> Scene:
    """Returns the delay scene with its cue (bit 0 of `member`) and its probe (bit 1) replaced by the other shape."""
    shapes = scene.shapes.copy()
    shapes[0] ^= member & 1
    shapes[-1] ^= member >> 1
    return replace(scene, shapes=shapes, labels={"answer": int(shapes[0] ^ shapes[-1])})


def draw_static(rng: np.random.Generator, num_frames: int) -> Scene:
    """Draws a shape that does not move."""
    noun = int(rng.integers(len(NOUNS)))
    return _symbols(rng, np.full(num_frames, noun, np.int64), {"noun": noun})


def _motion_ceilings(num_test: int) -> Ceilings:
    without_order = {"verb": 0.5, "noun": 1.0, "action": 0.5}
    chance = {"verb": 1 / len(VERBS), "noun": 1 / len(NOUNS), "action": 1 / (len(VERBS) * len(NOUNS))}
    return {"bag_of_frames": without_order, "one_frame": dict(without_order), "chance": chance}


def _pair_ceilings(label: str) -> Callable[[int], Ceilings]:
    return lambda num_test: {kind: {label: 0.5} for kind in ("bag_of_frames", "one_frame", "chance")}


def _delay_ceilings(num_test: int) -> Ceilings:
    # Half a group holds one probe with both cues: additive scores get both right, and so does the cue alone.
    whole, rest = divmod(num_test, 4)
    return {
        "bag_of_frames": {"answer": 1.0},
        "additive": {"answer": (3 * whole + rest) / num_test},
        "one_frame": {"answer": (2 * whole + rest) / num_test},
        "chance": {"answer": 0.5},
    }


def _static_ceilings(num_test: int) -> Ceilings:
    return {"bag_of_frames": {"noun": 1.0}, "one_frame": {"noun": 1.0}, "chance": {"noun": 1 / len(NOUNS)}}


TASKS: dict[str, Task] = {
    "motion": Task({"verb": VERBS, "noun": NOUNS}, draw_motion, "reversal", _motion_ceilings, "verb"),
    "order": Task({"order": ("bar_first", "triangle_first")}, draw_order, "reversal", _pair_ceilings("order"), "order"),
    "cyclic": Task(
        {"cycle": ("bar_triangle_ell", "ell_triangle_bar")}, draw_cyclic, "reversal", _pair_ceilings("cycle"), "cycle"
    ),
    "delay": Task({"answer": ("same", "different")}, draw_delay, "exchange", _delay_ceilings),
    "static": Task({"noun": NOUNS}, draw_static, "none", _static_ceilings),
}
