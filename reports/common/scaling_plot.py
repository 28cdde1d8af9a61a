"""A cost against a size on logarithmic axes, one line for each row, its exponent in the legend."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from harness import units
from harness.stats.scaling import Series

from . import plots

_TEXT = {
    "macs": ("multiply-accumulates of one view", units.macs),
    "memory": ("predicted peak memory of a training step", units.num_bytes),
    "memory-measured": ("measured peak memory of a training step", units.num_bytes),
    "latency": ("latency of one clip", units.milliseconds),
}


def scaling_page(series: Sequence[Series], over: str, measure: str) -> plots.FigurePage:
    """The figure. A row with a marked number (a lower bound, an unstable time) is dashed, and its marks are named."""
    quantity, text = _TEXT[measure]
    title = f"{quantity} against {over}"
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
        axes.set_ylabel(f"{quantity} (log scale)")
        _log_axes(axes, sorted({size for line in series for size in line.sizes}))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
        figure.legend(loc="outside right upper", title="exponent, 95 % interval")
    caption = "Exponent: least squares on logarithms, with its t interval. Dashed: see the marks."
    return plots.FigurePage(f"scaling_{measure}_{over}", title, caption, figure)


def _legend_text(line: Series) -> str:
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
