"""Figures about configurations rather than a run: roofline, frontier within a budget, cost against a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from harness.quantities import by_key
from harness.stats.scaling import CostSeries

from . import plots

#: `--measure` of `scaling` -> the quantity that it gives
SCALED = {
    "macs": "macs_per_view",
    "memory": "predicted_train_step_peak_bytes",
    "memory-measured": "train_step_peak_bytes",
    "latency": "latency_ms",
}


@dataclass(frozen=True)
class RooflinePoint:
    """One row: FLOPs per byte moved, and FLOPs per second reached."""

    label: str
    flops_per_byte: float
    flops_per_s: float


def roofline_page(
    name: str, points: Sequence[RooflinePoint], peak_flops_per_s: float, peak_bytes_per_s: float
) -> plots.FigurePage:
    """Draw FLOP/s against intensity, both logarithmic; the roof is the lower of memory's and arithmetic's limit."""
    with plots.style():
        figure = Figure(figsize=(7.2, 4.6), layout="constrained")
        axes = figure.add_subplot()
        ridge = peak_flops_per_s / peak_bytes_per_s
        given = [point.flops_per_byte for point in points] or [ridge]
        x = np.geomspace(min(*given, ridge) / 4, max(*given, ridge) * 4, 200)
        axes.plot(x, np.minimum(x * peak_bytes_per_s, peak_flops_per_s) / 1e9, color=plots.MUTED, linewidth=1.6)
        for index, point in enumerate(points):
            axes.plot(
                point.flops_per_byte, point.flops_per_s / 1e9, linestyle="none", markersize=8, label=point.label,
                **plots.look(index),
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="FLOP per byte moved", ylabel="GFLOP/s")
        axes.set_title("Rows against the limits of this machine", loc="left")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        if points:
            figure.legend(loc="outside lower left", ncols=3)
    caption = (
        f"Roof measured here: {peak_flops_per_s / 1e9:.4g} GFLOP/s (matrix product), "
        f"{peak_bytes_per_s / 1e9:.3g} GB/s (copy). Bytes are those that eager operators read and write, without "
        "caches: intensities are lower bounds, so a point may lie above the slanted roof."
    )
    return plots.FigurePage(name, "Roofline", caption, figure)


def frontier_page(
    name: str, axis: str, budget: str, largest: Mapping[str, int | None], open_ended: Sequence[str]
) -> plots.FigurePage:
    """Draw a bar for each row: the largest value of `axis` that fits; an arrow where the search hit its own limit."""
    with plots.style():
        figure = Figure(figsize=(7.2, 0.9 + 0.42 * len(largest)), layout="constrained")
        axes = figure.add_subplot()
        for place, (label, value) in enumerate(largest.items()):
            axes.barh(place, value or 0, color=plots.look(0)["color"], height=0.6)
            text = "nothing fits" if value is None else f"{value} or more →" if label in open_ended else f"{value}"
            axes.annotate(
                text, (value or 0, place), xytext=(4, 0), textcoords="offset points", va="center", color=plots.INK
            )
        axes.set_yticks(range(len(largest)), list(largest))
        axes.invert_yaxis()
        axes.margins(x=0.2)
        axes.set_xlabel(axis)
        axes.set_title(f"Largest {axis} within {budget}", loc="left")
    return plots.FigurePage(name, "Frontier", f"The budget is {budget}; every probe is in the JSON.", figure)


def scaling_page(series: Sequence[CostSeries], over: str, measure: str) -> plots.FigurePage:
    """Draw a cost against a size. A row with marked numbers (lower bound, unstable time) is dashed and names them."""
    quantity = by_key(SCALED[measure])
    title = f"{quantity.name} against {over}"
    with plots.style():
        figure = Figure(figsize=(9.6, 5.2), layout="constrained")
        axes = figure.add_subplot()
        for index, line in enumerate(series):
            axes.plot(
                line.sizes, line.costs, **plots.look(index), linestyle="-" if line.is_sound else "--", linewidth=1.4,
                markersize=5, label=_legend_text(line),
            )  # fmt: skip
        figure.suptitle(title, weight="bold")
        axes.set_xlabel(f"{over} (log scale)")
        axes.set_ylabel(f"{quantity.name} (log scale)")
        _log_axes(axes, sorted({size for line in series for size in line.sizes}))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: quantity.text(value)))
        figure.legend(loc="outside right upper", title="exponent, 95 % interval")
    caption = "Exponent: least squares on logarithms, with its t interval. Dashed: see the marks."
    return plots.FigurePage(f"scaling_{measure}_{over}", title, caption, figure)


def _legend_text(line: CostSeries) -> str:
    fit = line.fit
    interval = "" if fit.low is None or fit.high is None else f" ({fit.low:.2f} to {fit.high:.2f})"
    marks = ", ".join(dict.fromkeys(mark for mark in line.marks if mark))
    return f"{line.label}: {fit.exponent:.2f}{interval}{f', {marks}' if marks else ''}"


def _log_axes(axes: Axes, sizes: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_formatter(NullFormatter())
