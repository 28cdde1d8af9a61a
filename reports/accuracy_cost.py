"""Accuracy against cost, a figure for each quantity that declares one, with its Pareto front. PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from harness import quantities
from harness.quantities import Quantity, accuracy_axis
from harness.stats.pareto import clearly_dominated, pareto_front
from harness.store.load import LoadedRun

from .common import plots, point_labels
from .common.row_statistics import RowSummary, headline, summarise

LEAST_SPAN = 0.1  # a linear axis shows at least this share of the cost to each side
LOG_SPAN = 5  # a larger ratio of costs is drawn on a logarithmic axis


def write(run: LoadedRun, folder: Path) -> list[Path]:
    """Write one PNG and one SVG for each cost that was measured and return their paths."""
    return plots.save(figures(run), folder)


def figures(run: LoadedRun) -> list[plots.FigurePage]:
    """Draw the accuracy of the headline label against each quantity that declares a figure and has a value."""
    label = headline(run)
    if label is None:
        return []
    pages = [figure(run, item.key, label) for item in quantities.QUANTITIES if item.figure]
    return [page for page in pages if page is not None]


def figure(run: LoadedRun, key: str, label: str) -> plots.FigurePage | None:
    """Draw the accuracy of a label against a quantity; None where no row has both. Raises: KeyError."""
    quantity, rows = quantities.by_key(key), summarise(run)
    drawn = [row for row in rows if label in row.top1 and key in row.costs and row.costs[key].comparable]
    if not drawn:
        return None
    with plots.style():
        page = Figure(figsize=(7.2, 4.6), layout="constrained")
        axes = page.add_subplot()
        factor = _cost_axis(axes, drawn, quantity)
        title = f"{label} accuracy against {quantity.name}"
        axes.set_title(title, loc="left")
        axes.set_ylabel(accuracy_axis(label))
        plots.draw_ceilings(axes, run, label)
        _draw(axes, rows, drawn, label, quantity, factor)
    name = quantity.figure or plots.file_name(f"accuracy_{key}")
    return plots.FigurePage(name, title, _caption(rows, drawn, label, key), page)


def _cost_axis(axes: Axes, drawn: Sequence[RowSummary], quantity: Quantity) -> float:
    """Prepare the cost axis and return the size of its unit."""
    medians = [row.costs[quantity.key].median for row in drawn]
    text, size = quantity.axis(max(medians))
    axes.set_xlabel(f"{text}{' (log scale)' if _is_log(medians) else ''}")
    if _is_log(medians):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif max(medians) < (1 + LEAST_SPAN) * min(medians):
        # a magnified axis would make costs that agree to about a percent look different
        middle = (min(medians) + max(medians)) / 2 / size
        axes.set_xlim(middle * (1 - LEAST_SPAN), middle * (1 + LEAST_SPAN))
    return size


def _is_log(costs: Sequence[float]) -> bool:
    return min(costs) > 0 and max(costs) / min(costs) > LOG_SPAN


def _draw(
    axes: Axes, rows: list[RowSummary], drawn: list[RowSummary], label: str, quantity: Quantity, factor: float
) -> None:
    found = [row.costs[quantity.key] for row in drawn]
    points = [(cost.median / factor, 100 * row.top1[label].mean) for cost, row in zip(found, drawn, strict=True)]
    whiskers = []
    front, clear = _front(quantity, drawn, label)
    for index, row in enumerate(drawn):
        half = plots.percent_points(row.top1[label])[1]
        below, above = points[index][0] - found[index].low / factor, found[index].high / factor - points[index][0]
        look = plots.look(rows.index(row))
        axes.errorbar(
            *points[index], yerr=half or None, xerr=[[below], [above]] if below + above > 0 else None, **look,
            markersize=7, markeredgewidth=1.4, markerfacecolor=look["color"] if index in front else "white",
            alpha=0.6 if clear[index] else 1, elinewidth=1.2, capsize=2.5, linestyle="none", zorder=3,
        )  # fmt: skip
        whiskers.append((max(below, above), half))
    handles: list[Line2D] = []
    if quantity.direction != "none":
        _front_line(axes, [points[index] for index in front])
        handles += _front_handles(len(front) < len(drawn), any(clear))
    if any(cost.marks for cost in found):
        kinds = dict.fromkeys(mark.partition(":")[0] for cost in found for mark in cost.marks)
        handles.append(Line2D([], [], linestyle="none", label=f"* {', '.join(kinds)}"))
    if handles:
        axes.figure.legend(handles=handles, loc="outside lower left", ncols=3)
    axes.margins(x=0.12, y=0.12)
    point_labels.place(axes, points, [_point_name(row, quantity.key) for row in drawn], whiskers)


def _front(quantity: Quantity, drawn: Sequence[RowSummary], label: str) -> tuple[list[int], list[bool]]:
    """Return the rows on the Pareto front, by falling quality of the quantity, and which rows are clearly dominated."""
    if quantity.direction == "none":
        return list(range(len(drawn))), [False] * len(drawn)
    sign = -1 if quantity.direction == "higher" else 1
    costs = [row.costs[quantity.key] for row in drawn]
    estimates = [row.top1[label] for row in drawn]
    ends = [sorted((sign * cost.low, sign * cost.high)) for cost in costs]
    front = pareto_front([sign * cost.median for cost in costs], [estimate.mean for estimate in estimates])
    clear = clearly_dominated(
        [low for low, _ in ends], [e.low for e in estimates], [e.high for e in estimates], [high for _, high in ends]
    )
    return front, clear


def _point_name(row: RowSummary, key: str) -> str:
    return f"{plots.short(row.label)}{' (baseline)' if row.is_baseline else ''}{'*' if row.costs[key].marks else ''}"


def _front_line(axes: Axes, front: Sequence[tuple[float, float]]) -> None:
    """Draw stairs: the best accuracy at each cost, up to the most expensive point of the front."""
    axes.step(*zip(*front, strict=True), where="post", color=plots.FAINT, linewidth=2.2, zorder=0.9)


def _front_handles(any_dominated: bool, any_clear: bool) -> list[Line2D]:
    base: dict[str, Any] = {"color": plots.MUTED, "marker": "o", "markersize": 6}
    handles = [Line2D([], [], **base, markerfacecolor=plots.MUTED, linestyle="none", label="on the Pareto front")]
    if any_dominated:
        handles.append(Line2D([], [], **base, markerfacecolor="white", linestyle="none", label="dominated"))
    if any_clear:
        text = "clearly dominated: intervals apart"
        handles.append(Line2D([], [], **base, markerfacecolor="white", alpha=0.6, linestyle="none", label=text))
    return handles


def _caption(rows: list[RowSummary], drawn: list[RowSummary], label: str, key: str) -> str:
    kept = {row.plan.row_id for row in drawn}
    gone = [row for row in rows if row.plan.row_id not in kept]
    unscored = [row.label for row in gone if label not in row.top1]
    elsewhere = [row.label for row in gone if label in row.top1 and key in row.costs]
    unmeasured = [row.label for row in gone if label in row.top1 and key not in row.costs]
    parts = [
        f"{plots.seeds_text(drawn)}; cost: median, with smallest and largest value. "
        "Clearly dominated: another row costs no more and its whole interval lies above.",
        *(f"* {row.label}: {'; '.join(row.costs[key].marks)}." for row in drawn if row.costs[key].marks),
        plots.missing_text("Not drawn, no trial done", unscored),
        plots.missing_text("Not drawn, measured under other conditions", elsewhere),
        plots.missing_text("Not drawn, cost not measured", unmeasured),
    ]
    return " ".join(part for part in parts if part)
