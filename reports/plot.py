"""One plot of accuracy, against any quantity or varied field, for notebooks and scripts."""

from __future__ import annotations

from harness import quantities
from harness.errors import UserError, did_you_mean
from harness.store.load import LoadedRun

from . import accuracy_axis, accuracy_cost
from .common.plots import FigurePage
from .common.row_statistics import headline, labels

SHORT_NAMES = {"macs": "macs_per_view", "memory": "train_step_peak_bytes", "latency": "latency_ms"}


def accuracy_against(run: LoadedRun, x: str | None = None, label: str | None = None) -> FigurePage:
    """Draw accuracy against a quantity or a varied field. A notebook shows the page; `.figure` is matplotlib's.

    `x`: key of a quantity (see `harness.quantities`), or macs, memory, latency for short, or a varied field; default:
    the first varied field.
    `label`: whose accuracy, for a quantity; default: action, else verb, else the first.

    Raises:
        UserError: `x` or `label` is unknown, or no two finished rows can be drawn.
    """
    keys, known = [item.key for item in quantities.QUANTITIES], labels(run)
    x = SHORT_NAMES.get(x or "", x) or (run.plan.axes or keys)[0]
    names = [*run.plan.axes, *SHORT_NAMES, *keys]
    if x not in names:
        raise UserError(f"x={x!r}: no such number of this run. Give one of {', '.join(names)}.{did_you_mean(x, names)}")
    if label is not None and label not in known:
        raise UserError(f"label={label!r}: the run has {', '.join(known) or 'no accuracy yet'}.")
    label = label or headline(run)
    if x in run.plan.axes:
        page = accuracy_axis.figure(run, x)
    else:
        page = None if label is None else accuracy_cost.figure(run, x, label)
    if page is None:
        raise UserError(f"x={x!r}: nothing to draw yet: no row that is done has it, or no two rows differ in it alone.")
    return page
