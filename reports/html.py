"""The report as one page: `index.html`, self-contained, with table, figures, conditions and unfinished trials."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.store.load import LoadedRun
from harness.text.clean import one_line

from . import modules
from .common.conditions import conditions, warnings
from .common.plots import FigurePage, svg_text
from .common.table_data import build

_TEMPLATES = Path(__file__).parent / "common"


@dataclass(frozen=True)
class Unfinished:
    """A trial that is not finished, for the list of missing results."""

    row: str
    seed: str
    trial_id: str
    status: str
    message: str


def write(run: LoadedRun, folder: Path) -> list[Path]:
    """Write `index.html` and return its path. The page loads nothing from elsewhere."""
    path = folder / "index.html"
    path.write_text(page(run), encoding="utf-8")
    return [path]


def page(run: LoadedRun) -> str:
    """Return the page as HTML; all text from files is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code_spans"] = code_spans
    return environment.get_template("index.html.j2").render(
        plan=run.plan,
        num_done=len(run.records),
        num_planned=len(run.statuses),
        warnings=warnings(run),
        grid=build(run),
        figures=[(figure, _inline(figure)) for figure in _figures(run)],
        conditions=conditions(run),
        unfinished=unfinished(run),
        command=run.plan.command or f"python -m harness sweep sweeps/{run.plan.sweep}.yaml",
    )


def code_spans(text: str) -> Markup:
    """Return text with commands in backticks as HTML; all of it is escaped."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def unfinished(run: LoadedRun) -> list[Unfinished]:
    """Return every unfinished trial of the plan, in the order of rows and seeds; long messages are shortened."""
    return [
        Unfinished(row.label, seed, trial_id, missing[0], one_line(missing[1]))
        for row in run.plan.rows
        for seed, trial_id in row.trials.items()
        if (missing := run.missing(trial_id)) is not None
    ]


def _figures(run: LoadedRun) -> list[FigurePage]:
    """Return the figures of all reports, in the order of their file names."""
    return [page for module in modules() if hasattr(module, "figures") for page in module.figures(run)]


def _inline(page: FigurePage) -> Markup:
    """Return the drawing without the XML prologue, which HTML does not allow. matplotlib has escaped its text."""
    drawing = svg_text(page)
    return Markup(drawing[drawing.index("<svg") :])
