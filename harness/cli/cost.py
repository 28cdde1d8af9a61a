"""`cost`: what every row of a sweep costs, counted without allocating it; beside published numbers where there are."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import units
from harness.cli import arguments

if TYPE_CHECKING:
    from rich.table import Table

    from harness.measure.published import Difference, Published
    from harness.record import Costs


@dataclass(frozen=True)
class CostRow:
    """One row of a sweep, its costs, and what was published of it."""

    label: str
    costs: Costs
    published: Published | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_sweep(parser)
    parser.add_argument("--format", choices=["text", "json", "csv"], default="text", help="default: text")


def run(parsed: argparse.Namespace) -> int:
    rows, not_built = cost_rows(parsed.file, parsed.overrides, parsed.variants)
    if parsed.format == "json":
        print(json.dumps([_flat(row) for row in rows], indent=2))
    elif parsed.format == "csv":
        flat = [_flat(row) for row in rows]
        writer = csv.DictWriter(sys.stdout, flat[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    else:
        _print(rows, not_built)
    return 0


def cost_rows(file: Path, overrides: list[str], variant_dirs: list[Path]) -> tuple[list[CostRow], list[Published]]:
    """Every row of a sweep with its costs; of the published table beside the file, the rows that it does not build."""
    from harness.data import data_identity
    from harness.measure.planned import planned_costs
    from harness.measure.published import by_label, read_published
    from harness.sweep.plan import plan_sweep

    plan = plan_sweep(file, overrides, data_identity=data_identity, variant_dirs=variant_dirs)
    # with --set the rows are other models than the published ones
    table = file.with_suffix(".csv")
    published = read_published(table) if table.exists() and not overrides else []
    known = by_label(published, [row.label for row in plan.rows], table)
    configs = {trial.row_id: trial.config for trial in plan.trials}
    rows = [
        CostRow(row.label, planned_costs(configs[row.row_id], variant_dirs), known.get(row.label)) for row in plan.rows
    ]
    return rows, [row for row in published if row.not_built]


def differences(row: CostRow) -> Mapping[str, Difference | None]:
    """'macs' and 'parameters' -> ours beside theirs, or None."""
    from harness.measure.published import macs_difference, parameter_difference

    if row.published is None:
        return {"macs": None, "parameters": None}
    return {
        "macs": macs_difference(row.published, row.costs),
        "parameters": parameter_difference(row.published, row.costs),
    }


def _flat(row: CostRow) -> dict[str, Any]:
    """One row for JSON and CSV, units in the names."""
    costs, found = row.costs, differences(row)
    macs, parameters = found["macs"], found["parameters"]
    return {
        "label": row.label,
        "num_parameters": costs.num_parameters,
        "macs_per_view": costs.macs.macs_per_view,
        "attention_macs_per_view": costs.macs.attention_macs,
        "num_views": costs.num_views,
        "macs_per_video": costs.macs_per_video,
        "status": costs.macs.status,
        "uncounted_ops": " ".join(f"{name}:{number}" for name, number in costs.macs.uncounted_ops.items()),
        "published_gmacs_per_view": macs and macs.theirs,
        "published_counts_attention": row.published and row.published.counts_attention,
        "macs_difference": macs and round(macs.relative, 5),
        "macs_unexplained": macs and round(macs.unexplained, 5),
        "published_parameters_m": parameters and parameters.theirs,
        "parameters_difference": parameters and round(parameters.relative, 5),
        "parameters_unexplained": parameters and round(parameters.unexplained, 5),
        "cause": row.published and row.published.cause,
        "source": row.published and row.published.source,
    }


def _print(rows: list[CostRow], not_built: list[Published]) -> None:
    from rich.console import Console
    from rich.table import Table

    compared = any(row.published for row in rows)
    columns = ["row", "parameters", "MACs per view", "attention", "views", "MACs per video", "status"]
    columns += ["published M", "diff", "published GMACs", "diff", ""] if compared else []
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        _add(table, row, compared)
    # a pipe has no width: never cut a line there
    console = Console() if Console().is_terminal else Console(width=220)
    console.print(table, markup=False)
    for note in _notes(rows, not_built):
        print(note)


def _add(table: Table, row: CostRow, compared: bool) -> None:
    costs, macs = row.costs, row.costs.macs
    share = macs.attention_macs / macs.macs_per_view if macs.macs_per_view else 0.0
    cells = [
        row.label, units.count(costs.num_parameters), units.macs(macs.macs_per_view), units.percent(share),
        str(costs.num_views), units.macs(costs.macs_per_video), macs.status.replace("_", " "),
    ]  # fmt: skip
    if compared:
        found = differences(row)
        for difference in (found["parameters"], found["macs"]):
            cells += [f"{difference.theirs:.4g}", f"{100 * difference.relative:+.1f} %"] if difference else ["-", "-"]
        cells.append(_remark(row, found))
    table.add_row(*cells)


def _remark(row: CostRow, found: Mapping[str, Difference | None]) -> str:
    if any(difference and not difference.is_explained for difference in found.values()):
        return "UNEXPLAINED"
    if row.published is None:
        return ""
    remarks = ["attention not counted"] if row.published.counts_attention == "no" else []
    return ", ".join(remarks + (["cause below"] if row.published.cause else []))


def _notes(rows: list[CostRow], not_built: list[Published]) -> Iterator[str]:
    """What the table has no room for: uncounted operators, causes, models that are not built."""
    for row in rows:
        if row.costs.macs.uncounted_ops:
            yield f"{row.label}: operators of unknown cost: {', '.join(row.costs.macs.uncounted_ops)}"
    caused = [row for row in rows if row.published and row.published.cause]
    if caused:
        yield "\nCauses:"
    for row in caused:
        yield f"  {row.label}: {row.published.cause if row.published else ''}"
    if not_built:
        yield "\nPublished, not built:"
    for item in not_built:
        numbers = f"{item.gmacs or '-'} GMACs / {item.num_views} views, {item.parameters_m or '-'} M"
        yield f"  {item.model}, {item.num_frames} x {item.crop_size}: {numbers} ({item.source}): {item.not_built}"
