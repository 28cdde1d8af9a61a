"""The answer on one page: `index.html`, self-contained, with the table, all figures, conditions and failures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.store.load import LoadedRun

from . import modules
from .common.conditions import conditions, warnings
from .common.plots import FigurePage, svg_text
from .common.table_data import build

_TEMPLATES = Path(__file__).parent / "common"


@dataclass(frozen=True)
class Unfinished:
    """A trial that is not finished, for the list of what is missing."""

    row: str
    seed: str
    trial_id: str
    status: str
    message: str


def write(run: LoadedRun, folder: Path) -> list[Path]:
    """Writes `index.html` and returns its path. Nothing in it is fetched from elsewhere."""
    path = folder / "index.html"
    path.write_text(page(run), encoding="utf-8")
    return [path]


def page(run: LoadedRun) -> str:
    """The page as HTML; everything that comes from files is escaped."""
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
    """A text whose commands stand in backticks, as HTML; everything in it is escaped."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def unfinished(run: LoadedRun) -> list[Unfinished]:
    """Every unfinished trial of the plan, in the order of rows and seeds, with its whole message."""
    return [
        Unfinished(row.label, seed, trial_id, *missing)
        for row in run.plan.rows
        for seed, trial_id in row.trials.items()
        if (missing := run.missing(trial_id)) is not None
    ]


def _figures(run: LoadedRun) -> list[FigurePage]:
    """Figures of all reports that draw some, in the order of their file names."""
    return [page for module in modules() if hasattr(module, "figures") for page in module.figures(run)]


def _inline(page: FigurePage) -> Markup:
    """The drawing without the XML prologue, which has no place inside HTML. Text in it was escaped by its writer."""
    drawing = svg_text(page)
    return Markup(drawing[drawing.index("<svg") :])
