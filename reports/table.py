"""The table of a run: `table.csv` (raw numbers), `table.md`, `table.tex`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from harness import quantities
from harness.store.load import LoadedRun
from harness.text.escapes import csv_cell
from harness.text.escapes import latex as _tex
from harness.text.escapes import markdown as _md
from harness.text.escapes import markdown_paragraph as _md_paragraph

from .common.conditions import warnings
from .common.row_statistics import RowSummary, labels, summarise
from .common.table_data import Cell, TableData, build


def write(run: LoadedRun, folder: Path) -> list[Path]:
    """Write `table.csv`, `table.md` and `table.tex` and return their paths."""
    grid = build(run)
    texts = {"table.csv": csv_text(run), "table.md": markdown(run, grid), "table.tex": latex(run, grid)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return [folder / name for name in texts]


def markdown(run: LoadedRun, grid: TableData) -> str:
    """Return the table as GitHub Markdown, with warnings above and marks and notes below."""
    lines = [f"# {_md(run.plan.sweep)}", "", _md_paragraph(run.plan.question), ""]
    lines += [line for text in warnings(run) for line in (f"**Warning.** {_md(text)}", "")]
    lines += [_md_line([_md(name) for name in grid.header]), _md_line(["---"] + ["---:"] * (len(grid.header) - 1))]
    lines += [_md_line([_md_cell(cell) for cell in row]) for row in grid.rows] + [""]
    lines += [line for letter, text in grid.marks.items() for line in (f"[{letter}] {_md(text)}", "")]
    lines += [line for text in grid.notes for line in (_md(text), "")]
    return "\n".join(lines).rstrip() + "\n"


def _md_line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _md_cell(cell: Cell) -> str:
    return f"{_md(cell.text)} [{', '.join(cell.marks)}]" if cell.marks else _md(cell.text)


def latex(run: LoadedRun, grid: TableData) -> str:
    """Return the table as a LaTeX `table*` (packages: booktabs), with marks and notes below."""
    columns = "l" + "r" * (len(grid.header) - 1)
    lines = [r"% needs \usepackage{booktabs}", r"\begin{table*}", r"\centering\footnotesize"]
    lines += [rf"\caption{{{_tex(run.plan.question)}}}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [_tex_line([_tex(name) for name in grid.header]), r"\midrule"]
    lines += [_tex_line([_tex_cell(cell) for cell in row]) for row in grid.rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    notes = [rf"\textsuperscript{{{letter}}} {_tex(text)}" for letter, text in grid.marks.items()]
    notes += [_tex(text) for text in (*warnings(run), *grid.notes)]
    lines += ["", r"\raggedright", *(f"{note}\\par" for note in notes), r"\end{table*}"]
    return "\n".join(lines) + "\n"


def _tex_line(cells: list[str]) -> str:
    return rf"{' & '.join(cells)} \\"


def _tex_cell(cell: Cell) -> str:
    marks = rf"\textsuperscript{{{','.join(cell.marks)}}}" if cell.marks else ""
    return _tex(cell.text) + marks


def row_numbers(run: LoadedRun) -> list[dict[str, Any]]:
    """Return the raw numbers of every row of the table, under the names of `table.csv`; None was not measured."""
    return [_csv_row(run, row) for row in summarise(run)]


def csv_text(run: LoadedRun) -> str:
    """Return the raw numbers of the table as CSV; for texts see `csv_cell`."""
    rows = row_numbers(run)
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    for line in [list(rows[0]) if rows else ["row_id"], *(row.values() for row in rows)]:
        writer.writerow([csv_cell(value) for value in line])
    return stream.getvalue()


def _csv_row(run: LoadedRun, row: RowSummary) -> dict[str, Any]:
    """Return the raw numbers of a row; accuracies and differences are fractions, None was not measured."""
    line: dict[str, Any] = {"row_id": row.plan.row_id, "label": row.label, "is_baseline": row.is_baseline}
    line |= {f"vary.{axis}": _plain(row.plan.values.get(axis)) for axis in run.plan.axes}
    line |= {"num_seeds_done": len(row.records), "num_seeds_planned": row.num_planned}
    for name, estimates in (("top1", row.top1), ("top5", row.top5)):
        for label in labels(run):
            found = estimates.get(label)
            line |= {f"{label}_{name}_{end}": getattr(found, end, None) for end in ("mean", "low", "high")}
    difference = row.difference
    estimate = difference.estimate if difference else None
    line |= {f"difference_{end}": getattr(estimate, end, None) for end in ("mean", "low", "high")}
    line |= {"num_pairs": difference.num_pairs if difference else None}
    line |= {"sign_flip_p": difference.p_value if difference else None, "sign_flip_p_holm": row.adjusted_p}
    for key in (item.key for item in quantities.QUANTITIES if item.column != "never"):
        cost = row.costs.get(key)
        line |= {f"{key}_{end}": getattr(cost, end, None) for end in ("median", "low", "high")}
        line |= {f"{key}_marks": "; ".join(cost.marks) if cost else ""}
    return line | {"marks": "; ".join(row.marks)}


def _plain(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value
