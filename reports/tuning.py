"""The search of a tuned run: every proposal, on the validation split. Markdown, CSV, a figure."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.quantities import VAL_TOP1, accuracy_axis, search_quantity
from harness.record import Record
from harness.store.load import LoadedRun
from harness.store.marks import UNPROVEN, trial_marks
from harness.store.plan_file import TunedRow, TunedTrial, TuningFile
from harness.text.clean import one_line
from harness.text.escapes import csv_cell
from harness.text.escapes import markdown as escaped

from .common import plots


def write(run: LoadedRun, folder: Path) -> list[Path]:
    """Write `tuning.md`, `tuning.csv` and the figure; nothing for a run without a search."""
    if run.tuning is None:
        return []
    markdown, table = folder / "tuning.md", folder / "tuning.csv"
    markdown.write_text(text(run.tuning, run.search_records), encoding="utf-8")
    lines = [_line(run, run.tuning, row, trial) for row in run.tuning.rows for trial in row.trials]
    with table.open("w", encoding="utf-8", newline="") as stream:
        names = list(dict.fromkeys(key for line in lines for key in line))
        cells = [names, *([line.get(name, "") for name in names] for line in lines)]
        csv.writer(stream, lineterminator="\n").writerows(map(csv_cell, line) for line in cells)
    return [markdown, table, *plots.save(figures(run), folder)]


def text(tuning: TuningFile, records: Mapping[str, Record]) -> str:
    """Return the search as Markdown: its settings, then a table for each row."""
    bounds = ", ".join(f"{name} ≤ {bound:g}" for name, bound in tuning.bounds.items()) or "none"
    lines = [
        "# Search", "",
        f"Objectives: {escaped(', '.join(tuning.objectives))}. Constraints: {escaped(bounds)}. Sampler: "
        f"{escaped(tuning.sampler)}.", "",
        f"Budget: {tuning.num_trials} configurations for each row, trained to the end or pruned, with seed "
        f"{tuning.train_seed}. The search used the validation split only; accuracy on test is that of the chosen "
        "configurations, trained again with the seeds of the sweep.", "",
    ]  # fmt: skip
    for row in tuning.rows:
        lines += [f"## {escaped(row.label)}: {row.num_counted} of {tuning.num_trials}", ""]
        marks = _marks(row, records)
        lines += [escaped("; ".join(marks)) + ".", ""] if marks else []
        names = list(dict.fromkeys(name for trial in row.trials for name in trial.params))
        header = ["#", *map(escaped, [*names, *tuning.objectives]), "state"]
        lines += [_md(header), _md(["---:"] * (len(header) - 1) + ["---"])]
        lines += [_md(_cells(tuning, trial, names)) for trial in row.trials] + [""]
    return "\n".join(lines)


def _cells(tuning: TuningFile, trial: TunedTrial, names: list[str]) -> list[str]:
    values: list[Any] = [*trial.values] if trial.values else [None] * len(tuning.objectives)
    over = [f"exceeds {name} by {excess:.3g}" for name, excess in trial.excess.items() if excess > 0]
    seen = [f"last {VAL_TOP1} {trial.last_val_top1:.4f}"] if trial.state == "pruned" and trial.last_val_top1 else []
    remarks = [*over, *seen, one_line(trial.message)]  # tuning.csv has the whole message
    state = "; ".join(
        [escaped(trial.state) + " **chosen**" * trial.chosen, *(escaped(text) for text in remarks if text)]
    )
    return [
        str(trial.number),
        *(escaped(_short(trial.params.get(name))) for name in names),
        *map(_short, values),
        state,
    ]


def _short(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _md(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _marks(row: TunedRow, records: Mapping[str, Record]) -> list[str]:
    """Return the marks of the trials of a search, each once."""
    known = [records[str(trial.trial_id)] for trial in row.trials if trial.trial_id in records]
    return list(dict.fromkeys(mark for record in known for mark in trial_marks(record)))


def _line(run: LoadedRun, tuning: TuningFile, row: TunedRow, trial: TunedTrial) -> dict[str, Any]:
    """Return a line of `tuning.csv`: raw numbers."""
    line = {"row": row.label, "number": trial.number, "trial_id": trial.trial_id, "state": trial.state}
    line |= {"chosen": trial.chosen, "last_val_top1": trial.last_val_top1, "message": trial.message}
    line["marks"] = "; ".join(_marks(row, run.search_records))
    line |= dict(zip(tuning.objectives, trial.values or [], strict=False))
    return line | {f"excess.{name}": value for name, value in trial.excess.items()} | trial.params


def figures(run: LoadedRun) -> list[plots.FigurePage]:
    """Draw the best value so far of one objective, or accuracy against the cost of every configuration for two."""
    tuning = run.tuning
    if (
        tuning is None
        or len(tuning.objectives) > 2
        or not any(trial.values for row in tuning.rows for trial in row.trials)
    ):
        return []
    single = len(tuning.objectives) == 1
    if not single and VAL_TOP1 not in tuning.objectives:
        return []
    with plots.style():
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for index, row in enumerate(tuning.rows):
            label = row.label + " (unproven)" * (UNPROVEN in _marks(row, run.search_records))
            (_best_so_far if single else _trade_off)(axes, tuning, row, label, index)
        axes.legend(loc="best")
        first = tuning.objectives[0]
        name = "validation top-1" if first == VAL_TOP1 else search_quantity(first).name
        title = f"Search: best {name} so far" if single else "Search: every configuration"
        axes.set_title(title, loc="left")
    caption = "Validation split, one training seed: for choosing, not for reporting."
    return [plots.FigurePage("tuning", title, caption + ("" if single else " Ringed: chosen."), figure)]


def _best_so_far(axes: Axes, tuning: TuningFile, row: TunedRow, label: str, index: int) -> None:
    better = max if search_quantity(tuning.objectives[0]).direction == "higher" else min
    values = [_drawn(tuning.objectives[0], trial.values[0]) for trial in row.trials if trial.values]
    best = [better(values[: end + 1]) for end in range(len(values))]
    axes.step(range(1, len(best) + 1), best, where="post", label=label, markersize=4, **plots.look(index))
    axes.set_xlabel("configurations trained to the end")
    axes.set_ylabel(_axis_name(tuning.objectives[0]))


def _axis_name(name: str) -> str:
    """Return the name of an objective in words, with its key, which has the unit."""
    return accuracy_axis(split="val") if name == VAL_TOP1 else f"{search_quantity(name).name}, {name}"


def _drawn(name: str, value: float) -> float:
    """Return an objective in the unit of its axis."""
    return 100 * value if name == VAL_TOP1 else value


def _trade_off(axes: Axes, tuning: TuningFile, row: TunedRow, label: str, index: int) -> None:
    which = tuning.objectives.index(VAL_TOP1)
    complete = [(trial.values, trial.chosen) for trial in row.trials if trial.values]
    known = [(values[1 - which], _drawn(VAL_TOP1, values[which]), is_chosen) for values, is_chosen in complete]
    look = plots.look(index)
    axes.plot([x for x, _, _ in known], [y for _, y, _ in known], linestyle="", label=label, alpha=0.7, **look)
    rings = [(x, y) for x, y, is_chosen in known if is_chosen]
    axes.plot(
        [x for x, _ in rings], [y for _, y in rings],
        linestyle="", marker="o", markersize=11, markerfacecolor="none", markeredgecolor=look["color"],
    )  # fmt: skip
    axes.set_xlabel(_axis_name(tuning.objectives[1 - which]))
    axes.set_ylabel(_axis_name(VAL_TOP1))
