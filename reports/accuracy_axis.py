"""Accuracy against each varied field: lines for numbers, a dot plot for names. PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from harness.quantities import accuracy_axis
from harness.store.load import LoadedRun

from .common import plots
from .common.axis_series import AxisSeries, axis_values, is_numeric, position, series_of, value_text
from .common.row_statistics import RowSummary, labels, summarise

LOG_SPAN = 10
_DODGE = 0.014  # of the axis, between series at the same number
_CATEGORY_DODGE = 0.5  # of the place of one name, for all its series together


def write(run: LoadedRun, folder: Path) -> list[Path]:
    """Write one PNG and one SVG for each varied field in which alone some rows differ; return their paths."""
    return plots.save(figures(run), folder)


def figures(run: LoadedRun) -> list[plots.FigurePage]:
    """Draw one figure for each varied field along which a series has two finished rows; a panel per label."""
    pages = [figure(run, axis) for axis in run.plan.axes]
    return [page for page in pages if page is not None]


def figure(run: LoadedRun, axis: str) -> plots.FigurePage | None:
    """Draw the accuracy of every label against a varied field; None where no two finished rows differ in it alone."""
    with plots.style():
        return _page(run, summarise(run), axis)


def _page(run: LoadedRun, rows: list[RowSummary], axis: str) -> plots.FigurePage | None:
    drawn = [row for row in rows if row.top1 and axis in row.plan.values]
    series = series_of(drawn, run.plan.axes, axis)
    if max((len(one.rows) for one in series), default=0) < 2:
        return None
    names, values = labels(run), axis_values(drawn, axis)
    draw, figure = (_draw_lines, _wide(len(names))) if is_numeric(values) else (_draw_dots, _tall(len(names), values))
    panels = figure.subplots(1, len(names), squeeze=False, sharex=True, sharey=True)[0]
    for panel, label in zip(panels, names, strict=True):
        panel.set_title(label, loc="left", pad=6 if is_numeric(values) else 26)
        draw(run, panel, series, values, axis, label)
    _describe(panels, axis, is_numeric(values))
    if len(series) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=2 + len(names))
    return plots.FigurePage(
        plots.file_name(f"accuracy_axis_{axis}"), f"Accuracy against {axis}", _caption(rows, drawn, axis), figure
    )


def _wide(num_panels: int) -> Figure:
    return Figure(figsize=(max(5.6, 3.3 * num_panels), 3.9), layout="constrained")


def _tall(num_panels: int, values: Sequence[Any]) -> Figure:
    return Figure(figsize=(max(6.4, 3.2 * num_panels + 1.2), 1.85 + max(3, len(values)) * 0.34), layout="constrained")


def _describe(panels: Sequence[Axes], axis: str, numeric: bool) -> None:
    accuracy = accuracy_axis()
    for panel in panels:
        panel.set_xlabel(axis if numeric else accuracy)
    panels[0].set_ylabel(accuracy if numeric else axis)


def _draw_lines(
    run: LoadedRun, panel: Axes, series: Sequence[AxisSeries], values: Sequence[Any], axis: str, label: str
) -> None:
    _number_axis(panel, values)
    plots.draw_ceilings(panel, run, label)
    for index, one in enumerate(series):
        rows = [row for row in one.rows if label in row.top1]
        points = [plots.percent_points(row.top1[label]) for row in rows]
        panel.errorbar(
            _dodged(panel, values, [row.plan.values[axis] for row in rows], index - (len(series) - 1) / 2),
            [mean for mean, _ in points], yerr=[half for _, half in points],
            **_line_look(index, len(rows)), label=plots.short(one.name),
        )  # fmt: skip


def _draw_dots(
    run: LoadedRun, panel: Axes, series: Sequence[AxisSeries], values: Sequence[Any], axis: str, label: str
) -> None:
    panel.set_yticks(range(len(values)), [plots.short(value_text(value)) for value in values])
    panel.set_ylim(len(values) - 0.5, -0.5)
    plots.draw_ceilings(panel, run, label, vertical=True)
    step = _CATEGORY_DODGE / len(series)
    for index, one in enumerate(series):
        rows = [row for row in one.rows if label in row.top1]
        points = [plots.percent_points(row.top1[label]) for row in rows]
        panel.errorbar(
            [mean for mean, _ in points],
            [position(values, row, axis) + (index + 0.5) * step - _CATEGORY_DODGE / 2 for row in rows],
            xerr=[half for _, half in points], **_line_look(index, 1), label=plots.short(one.name),
        )  # fmt: skip


def _line_look(index: int, num_points: int) -> dict[str, Any]:
    line = {"linestyle": "-" if num_points > 1 else "none", "linewidth": 1.6, "markersize": 6, "zorder": 3}
    return plots.look(index) | line | {"elinewidth": 1.2, "capsize": 2.5, "markeredgecolor": "white"}


def _dodged(panel: Axes, values: Sequence[float], at: Sequence[float], steps: float) -> list[float]:
    """Return positions on the number axis, shifted a little so that series at the same number do not overlap."""
    if panel.get_xscale() == "log":
        return [value * (max(values) / min(values)) ** (_DODGE * steps) for value in at]
    return [value + _DODGE * steps * (max(values) - min(values)) for value in at]


def _number_axis(panel: Axes, values: Sequence[float]) -> None:
    """Put ticks at the values themselves; logarithmic where they span more than a factor of ten."""
    if min(values) > 0 and max(values) / min(values) > LOG_SPAN:
        panel.set_xscale("log")
        panel.xaxis.set_minor_locator(NullLocator())
    if len(values) <= 10:
        panel.xaxis.set_major_locator(FixedLocator(list(values)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.margins(x=0.08, y=0.1)


def _caption(rows: Sequence[RowSummary], drawn: Sequence[RowSummary], axis: str) -> str:
    unscored = [row.label for row in rows if not row.top1]
    without = [row.label for row in rows if row.top1 and axis not in row.plan.values]
    parts = [
        f"{plots.seeds_text(drawn)}. A line joins rows that differ in this field alone.",
        plots.missing_text("Not drawn, no trial done", unscored),
        plots.missing_text("Not drawn, without this field", without),
    ]
    return " ".join(part for part in parts if part)
