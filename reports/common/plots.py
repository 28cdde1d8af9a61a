"""Style of all figures, and their files: the same records give the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness import units
from harness.stats.intervals import Estimate
from harness.store.load import LoadedRun
from harness.text.clean import one_line

from .row_statistics import RowSummary
from .table_data import ceilings

INK, MUTED, FAINT = "#1f2328", "#6b7280", "#d7dbe0"
# Okabe and Ito without the yellow, which is too light on white; markers repeat with another period than colours.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#4D4D4D")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", ">", "h")
NAME_LIMIT = 80  # characters of a name in a figure
_STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.titleweight": "bold",
    "axes.labelsize": 9.5, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED, "xtick.color": MUTED,
    "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#eceff2", "grid.linewidth": 0.8,
    "axes.axisbelow": True, "figure.facecolor": "white", "legend.frameon": False, "legend.fontsize": 8.5,
    "savefig.dpi": 160, "svg.hashsalt": "report", "svg.fonttype": "path", "text.parse_math": False,
}  # fmt: skip


@dataclass(frozen=True)
class FigurePage:
    """A figure with its file name (without ending), its title and a caption that names what it leaves out."""

    name: str
    title: str
    caption: str
    figure: Figure

    def _repr_png_(self) -> bytes:
        """Return the figure as a notebook shows it."""
        stream = io.BytesIO()
        with style():
            self.figure.savefig(stream, format="png", metadata={"Software": None})
        return stream.getvalue()


@contextmanager
def style() -> Iterator[None]:
    """Apply the style; figures must be created, and saved, inside."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def look(index: int) -> dict[str, Any]:
    """Return colour and marker of series number `index`; markers alone distinguish them too."""
    return {"color": _COLOURS[index % len(_COLOURS)], "marker": _MARKERS[index % len(_MARKERS)]}


def save(pages: Sequence[FigurePage], folder: Path) -> list[Path]:
    """Write each figure as PNG and SVG and return the paths. Without dates and random ids: same input, same bytes."""
    paths = []
    with style():
        for page in pages:
            png, svg = folder / f"{page.name}.png", folder / f"{page.name}.svg"
            page.figure.savefig(png, metadata={"Software": None})
            svg.write_text(svg_text(page), encoding="utf-8")
            paths += [png, svg]
    return paths


def svg_text(page: FigurePage) -> str:
    """Return the figure as SVG; its ids start with the name of the page, so that HTML can hold several."""
    stream = io.StringIO()
    with style():
        page.figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Title": page.title})
    prefix = re.sub(r"\W", "-", page.name)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", stream.getvalue())


def percent_points(estimate: Estimate) -> tuple[float, float]:
    """Return mean and half width of the interval in percent; half width 0 where there is no interval."""
    return 100 * estimate.mean, 100 * (estimate.half_width or 0.0)


def short(name: str) -> str:
    """Return a name that leaves room for the figure."""
    return one_line(name, NAME_LIMIT)


def file_name(text: str) -> str:
    """Return a name that is safe in file systems and links."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)


def draw_ceilings(axes: Axes, run: LoadedRun, label: str, *, vertical: bool = False) -> None:
    """Draw dashed lines at the best accuracy (percent) of each kind of model; none where rows differ in it.

    Labels above vertical lines alternate between two heights of 7.5 points, since neighbours would overlap; the title
    must leave room for both.
    """
    for index, (value, text) in enumerate(sorted(_ceiling_lines(run, label).items())):
        transform = axes.get_xaxis_transform() if vertical else axes.get_yaxis_transform()
        (axes.axvline if vertical else axes.axhline)(value, color=MUTED, linestyle=(0, (5, 3)), linewidth=1, zorder=1)
        offset = (0, 3 + 10 * (index % 2)) if vertical else (-3, -3)
        axes.annotate(
            text, (value, 1) if vertical else (1, value), xycoords=transform, xytext=offset,
            textcoords="offset points", color=MUTED, fontsize=7.5,
            ha="center" if vertical else "right", va="bottom" if vertical else "top",
        )  # fmt: skip


def _ceiling_lines(run: LoadedRun, label: str) -> dict[float, str]:
    """Return accuracy in percent -> label of the ceiling; kinds of models with the same ceiling share a line."""
    kinds: dict[float, list[str]] = {}
    for (kind, name), values in sorted(ceilings(run).items()):
        value = 100 * min(values)
        if name == label and len(values) == 1 and value < 100:
            kinds.setdefault(value, []).append(kind.replace("_", " "))
    return {
        value: f"{', '.join(names)}: {'' if names == ['chance'] else 'at most '}{units.percent(value / 100, 0)}"
        for value, names in kinds.items()
    }


def seeds_text(rows: Sequence[RowSummary]) -> str:
    """Return 'Mean over 3 to 4 seeds with 95 % t intervals', or a note that a single seed has no interval."""
    numbers = sorted({len(row.records) for row in rows})
    if numbers == [1]:
        return "One seed (n = 1): no intervals"
    text = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"Mean over {text} seeds with 95 % t intervals{' (none for n = 1)' if numbers[0] == 1 else ''}"


def missing_text(reason: str, names: Sequence[str]) -> str:
    """Return a sentence that names what a figure leaves out; empty for no names."""
    return f"{reason}: {', '.join(names)}." if names else ""
