"""Accuracy against cost: MACs, peak memory and latency, each with its Pareto front. PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from harness.stats.pareto import clearly_dominated, pareto_front
from harness.store.load import Run

from .common import plots, point_labels
from .common.quantities import BY_KEY
from .common.row_statistics import RowSummary, headline, summarise

LEAST_SPAN = 0.1  # share of the cost that a linear axis shows to each side at least
LOG_SPAN = 5  # a larger ratio of costs is drawn on a logarithmic axis
_COSTS = {
    "macs_per_view": ("accuracy_macs", "multiply-accumulates of one view"),
    "train_peak_bytes": ("accuracy_memory", "peak memory of a training step"),
    "latency_ms": ("accuracy_latency", "latency of one clip"),
}
_UNIT_SIZES = {
    "TMACs": 1e12, "GMACs": 1e9, "MMACs": 1e6, "kMACs": 1e3, "MACs": 1.0, "GiB": 2.0**30, "MiB": 2.0**20,
    "KiB": 2.0**10, "B": 1.0, "s": 1e3, "ms": 1.0,
}  # fmt: skip


def write(run: Run, folder: Path) -> list[Path]:
    """Writes one PNG and one SVG for each cost that was measured and returns their paths."""
    return plots.save(figures(run), folder)


def figures(run: Run) -> list[plots.FigurePage]:
    """One figure for each cost that at least one row has; accuracy is that of the headline label."""
    label = headline(run)
    if label is None:
        return []
    rows = summarise(run)
    with plots.style():
        pages = [_page(run, rows, label, key) for key in _COSTS]
    return [page for page in pages if page is not None]


def _page(run: Run, rows: list[RowSummary], label: str, key: str) -> plots.FigurePage | None:
    name, cost_name = _COSTS[key]
    drawn = [row for row in rows if label in row.top1 and key in row.costs and row.costs[key].comparable]
    if not drawn:
        return None
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    factor = _cost_axis(axes, drawn, key, cost_name)
    title = f"{label} accuracy against {cost_name}"
    axes.set_title(title, loc="left")
    axes.set_ylabel(f"{label} top-1, % of test clips")
    plots.draw_ceilings(axes, run, label)
    _draw(axes, rows, drawn, label, key, factor)
    return plots.FigurePage(name, title, _caption(rows, drawn, label, key), figure)


def _cost_axis(axes: Axes, drawn: Sequence[RowSummary], key: str, cost_name: str) -> float:
    """Prepares the cost axis and returns the size of its unit."""
    medians = [row.costs[key].median for row in drawn]
    unit = BY_KEY[key].text(max(medians)).split(" ")[-1]
    axes.set_xlabel(f"{cost_name}, {unit}{' (log scale)' if _is_log(medians) else ''}")
    if _is_log(medians):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif max(medians) < (1 + LEAST_SPAN) * min(medians):
        # costs that agree to a percent or so belong in one place: a magnified axis would show differences that are none
        middle = (min(medians) + max(medians)) / 2 / _UNIT_SIZES[unit]
        axes.set_xlim(middle * (1 - LEAST_SPAN), middle * (1 + LEAST_SPAN))
    return _UNIT_SIZES[unit]


def _is_log(costs: Sequence[float]) -> bool:
    return min(costs) > 0 and max(costs) / min(costs) > LOG_SPAN


def _draw(axes: Axes, rows: list[RowSummary], drawn: list[RowSummary], label: str, key: str, factor: float) -> None:
    costs = [row.costs[key].median / factor for row in drawn]
    estimates = [row.top1[label] for row in drawn]
    front = pareto_front(costs, [estimate.mean for estimate in estimates])
    ends = [(row.costs[key].low / factor, row.costs[key].high / factor) for row in drawn]
    clear = clearly_dominated(
        [low for low, _ in ends], [e.low for e in estimates], [e.high for e in estimates], [high for _, high in ends]
    )
    points, whiskers = [], []
    for index, row in enumerate(drawn):
        mean, half = plots.percent_points(estimates[index])
        spread = row.costs[key]
        whisker = [[costs[index] - ends[index][0]], [ends[index][1] - costs[index]]]
        look = plots.look(rows.index(row))
        axes.errorbar(
            costs[index], mean, yerr=half or None, xerr=whisker if spread.high > spread.low else None, **look,
            markersize=7, markeredgewidth=1.4, markerfacecolor=look["color"] if index in front else "white",
            alpha=0.6 if clear[index] else 1, elinewidth=1.2, capsize=2.5, linestyle="none", zorder=3,
        )  # fmt: skip
        points.append((costs[index], mean))
        whiskers.append((max(*whisker[0], *whisker[1]), half))
    _front_line(axes, [points[index] for index in front])
    _legend(axes, any(index not in front for index in range(len(drawn))), any(clear))
    names = [
        row.label + (" (baseline)" if row.is_baseline else "") + ("*" if row.costs[key].marks else "") for row in drawn
    ]
    axes.margins(x=0.12, y=0.12)
    point_labels.place(axes, points, names, whiskers)


def _front_line(axes: Axes, front: Sequence[tuple[float, float]]) -> None:
    """Stairs: the best accuracy that each cost can buy, up to the dearest point of the front."""
    axes.step(*zip(*front, strict=True), where="post", color=plots.FAINT, linewidth=2.2, zorder=0.9)


def _legend(axes: Axes, any_dominated: bool, any_clear: bool) -> None:
    base: dict[str, Any] = {"color": plots.MUTED, "marker": "o", "markersize": 6}
    handles = [Line2D([], [], **base, markerfacecolor=plots.MUTED, linestyle="none", label="on the Pareto front")]
    if any_dominated:
        handles.append(Line2D([], [], **base, markerfacecolor="white", linestyle="none", label="dominated"))
    if any_clear:
        text = "clearly dominated: intervals apart"
        handles.append(Line2D([], [], **base, markerfacecolor="white", alpha=0.6, linestyle="none", label=text))
    axes.figure.legend(handles=handles, loc="outside lower left", ncols=3)


def _caption(rows: list[RowSummary], drawn: list[RowSummary], label: str, key: str) -> str:
    kept = {row.plan.row_id for row in drawn}
    gone = [row for row in rows if row.plan.row_id not in kept]
    unscored = [row.label for row in gone if label not in row.top1]
    elsewhere = [row.label for row in gone if label in row.top1 and key in row.costs]
    unmeasured = [row.label for row in gone if label in row.top1 and key not in row.costs]
    parts = [
        f"{plots.seeds_text(drawn)}; cost: median with least and largest. "
        "Clearly dominated: another row costs no more and its whole interval lies above.",
        *(f"* {row.label}: {'; '.join(row.costs[key].marks)}." for row in drawn if row.costs[key].marks),
        plots.missing_text("Not drawn, no finished trial", unscored),
        plots.missing_text("Not drawn, measured under other conditions", elsewhere),
        plots.missing_text("Not drawn, cost not measured", unmeasured),
    ]
    return " ".join(part for part in parts if part)
