"""Placement of names next to points, with as little overlap of names and points as possible."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from .plots import INK, MUTED

_DISTANCES = (6.0, 14.0, 24.0, 36.0, 50.0)  # points between marker and text
_DIRECTIONS = ((1, 0), (1, 0.7), (1, -0.7), (-1, 0), (-1, 0.7), (-1, -0.7), (0, 1), (0, -1))
_OUTSIDE_COST = 50.0
_LINE_COST = 0.6  # crossing a line of the plot is acceptable, covering a point or a name is not


def place(
    axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[str], whiskers: Sequence[tuple[float, float]]
) -> None:
    """Write each name next to its point (data coordinates); `whiskers`: half widths in x and y to keep clear."""
    figure = axes.figure
    canvas = FigureCanvasAgg(figure.figure)
    canvas.draw()  # fixes the layout, which the sizes in pixels depend on
    frame = axes.get_window_extent()
    lines = [box for line in axes.lines if line.get_linestyle() != "None" for box in _segments(line)]
    written = [text.get_window_extent(canvas.get_renderer()).padded(2.0) for text in axes.texts]
    taken = [box for point, half in zip(points, whiskers, strict=True) for box in _obstacles(axes, point, half)]
    taken += written
    for point, name in zip(points, names, strict=True):
        text = axes.annotate(name, point, xytext=(0, 0), textcoords="offset points", fontsize=8, color=INK)
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        size = text.get_window_extent(canvas.get_renderer())
        anchor = axes.transData.transform(point)
        scale = figure.figure.dpi / 72
        boxes = {option: _box(anchor, option, size, scale) for option in product(_DISTANCES, _DIRECTIONS)}
        costs = {option: _cost(box, taken, lines, frame) + _preference(option) for option, box in boxes.items()}
        costs = {option: cost + _crossings(anchor, boxes[option], taken) for option, cost in costs.items()}
        best = min(costs, key=lambda option: costs[option])
        box = boxes[best]
        text.set_position(((box.x0 - anchor[0]) / scale, (box.y0 - anchor[1]) / scale))
        taken.append(box.padded(2.0))
        if best[0] > _DISTANCES[0]:
            _leader(axes, anchor, box)
            taken += [Bbox.from_bounds(x - 2, y - 2, 4, 4) for x, y in np.linspace(anchor, _nearest(anchor, box), 12)]


def _obstacles(axes: Axes, point: tuple[float, float], half: tuple[float, float]) -> list[Bbox]:
    """Return the boxes of the marker and the two whiskers of a point, in pixels."""
    low = axes.transData.transform((point[0] - half[0], point[1] - half[1]))
    high = axes.transData.transform((point[0] + half[0], point[1] + half[1]))
    x, y = axes.transData.transform(point)
    return [
        Bbox.from_extents(x - 8, y - 8, x + 8, y + 8),
        Bbox.from_extents(x - 2, low[1], x + 2, high[1]),
        Bbox.from_extents(low[0], y - 2, high[0], y + 2),
    ]


def _box(anchor: np.ndarray, option: tuple[float, tuple[float, float]], size: Bbox, scale: float) -> Bbox:
    distance, (right, up) = option
    x = anchor[0] + distance * scale * right - (size.width if right < 0 else size.width / 2 if right == 0 else 0)
    y = anchor[1] + distance * scale * up - size.height / 2
    return Bbox.from_bounds(x, y, size.width, size.height)


def _preference(option: tuple[float, tuple[float, float]]) -> float:
    """Return the cost of a position itself: near is better than far, right is better than left."""
    distance, (right, _) = option
    return 0.02 * distance + (0.3 if right < 0 else 0.0)


def _segments(line: Line2D) -> list[Bbox]:
    """Return boxes of one pixel around the pieces of a line that run along an axis, as stairs and ceilings do."""
    corners = line.get_transform().transform(np.column_stack([line.get_xdata(), line.get_ydata()]).astype(float))
    if line.get_drawstyle() == "steps-post":
        corners = np.array([place for a, b in pairwise(corners) for place in (a, (b[0], a[1]), b)])
    pieces = (np.array(pair) for pair in pairwise(corners))
    return [Bbox([pair.min(axis=0) - 1, pair.max(axis=0) + 1]) for pair in pieces]


def _cost(box: Bbox, taken: Sequence[Bbox], lines: Sequence[Bbox], frame: Bbox) -> float:
    crossed = any(_area(box, line) > 0 for line in lines)
    overlap = sum(_area(box, other) for other in taken) / (box.width * box.height)
    inside = _area(box, frame) / (box.width * box.height)
    return overlap * 40 + crossed * _LINE_COST + (1 - inside) * _OUTSIDE_COST


def _crossings(anchor: np.ndarray, box: Bbox, taken: Sequence[Bbox]) -> float:
    """Return the share of the leader line that crosses names and points, without its own point."""
    path = np.linspace(anchor, _nearest(anchor, box), 20)
    path = path[np.hypot(*(path - anchor).T) > 12]
    return sum(any(other.contains(x, y) for other in taken) for x, y in path) / 4


def _nearest(anchor: np.ndarray, box: Bbox) -> np.ndarray:
    return np.array([np.clip(anchor[0], box.x0, box.x1), np.clip(anchor[1], box.y0, box.y1)])


def _area(one: Bbox, other: Bbox) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return width * height if width > 0 and height > 0 else 0.0


def _leader(axes: Axes, anchor: np.ndarray, box: Bbox) -> None:
    """Draw a thin line from the point to the nearest edge of a far label."""
    start = axes.transData.inverted().transform(anchor)
    stop = axes.transData.inverted().transform(_nearest(anchor, box))
    axes.plot(
        [start[0], stop[0]], [start[1], stop[1]], color=MUTED, linewidth=0.6, zorder=1, scalex=False, scaley=False
    )
