"""`scaling`: growth of a cost with frames, crop or window; exponents with intervals, changes of the order of rows."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import units
from harness.cli.common import arguments
from harness.cli.common.target import add_target
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.stats.scaling import CostSeries, Crossing

OVER = ("num_frames", "crop_size", "temporal_window")
TEXT = {
    "macs": units.macs, "memory": units.num_bytes, "memory-measured": units.num_bytes, "latency": units.milliseconds,
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """A change of order of two rows. `exact` is the first size at which it holds, for counted costs."""

    cheaper_before: str
    cheaper_after: str
    crossing: Crossing
    exact: int | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target(parser)
    parser.add_argument("--over", choices=OVER, required=True, help="what grows: a field of the model or the variant")
    parser.add_argument(
        "--values", type=arguments.positive_int, nargs="+", required=True, metavar="N", help="its values, two or more"
    )
    parser.add_argument(
        "--measure", choices=TEXT, default="macs",
        help="macs of a view (counted), peak memory of a training step (predicted, or measured here in separate "
        "processes), or latency of one clip (measured here); default: macs",
    )  # fmt: skip
    parser.add_argument("--format", choices=["text", "json", "csv"], default="text", help="default: text")
    parser.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="also write figures and data to this folder: scaling_*.png, .svg and .json",
    )


def run(parsed: argparse.Namespace) -> int:
    sizes = sorted(set(parsed.values))
    if len(sizes) < 2:
        raise UserError(f"--values {sizes[0]}: an exponent needs two different values; give two or more.")
    configs, left_out = _rows(parsed)
    series = {label: _measured(label, config, sizes, parsed) for label, config in configs.items()}
    changes = _changes(configs, [line for line, _ in series.values()], parsed)
    result = _as_data(parsed, series, changes, left_out)
    if parsed.format == "json":
        print(json.dumps(result, indent=2))
    elif parsed.format == "csv":
        _print_csv(result)
    else:
        _print(parsed, [line for line, _ in series.values()], changes, left_out)
    if parsed.to:
        _draw(parsed, [line for line, _ in series.values()], result)
    return 0


def _rows(parsed: argparse.Namespace) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Configurations by label of the rows that have the field, and the labels of those without it."""
    from harness.bench.scaling import AXES
    from harness.python_api.targets import plan_target

    plan = plan_target(parsed.target, parsed.overrides, parsed.variants)
    configs = {trial.row_id: trial.config for trial in reversed(plan.trials)}
    block, name = AXES[parsed.over]
    kept = {row.label: configs[row.row_id] for row in plan.rows if name in configs[row.row_id][block]}
    if not kept:
        every = configs.values()
        fit = [over for over in OVER if any(AXES[over][1] in config[AXES[over][0]] for config in every)]
        raise UserError(f"{parsed.target}: no row has {block}.{name}. Here --over takes one of {', '.join(fit)}.")
    return kept, [row.label for row in plan.rows if row.label not in kept]


def _measured(
    label: str, config: Mapping[str, Any], sizes: list[int], parsed: argparse.Namespace
) -> tuple[CostSeries, list[dict[str, Any]]]:
    """Measure the row at every size; return the series and its points with raw samples."""
    from harness.bench.scaling import at_size, measure_point
    from harness.registry.proven import mark_of
    from harness.stats.scaling import CostSeries

    at = {size: at_size(config, parsed.over, size, parsed.variants) for size in sizes}  # all faults before any work
    points = [measure_point(at[size], size, parsed.measure, parsed.variants) for size in sizes]
    if mark_of(config["variant"]["name"], parsed.variants):
        points = [replace(point, mark=", ".join(filter(None, (point.mark, "unproven")))) for point in points]
    columns = (tuple(getattr(point, name) for point in points) for name in ("size", "cost", "mark"))
    return CostSeries(label, *columns), [asdict(point) for point in points]


def _changes(configs: Mapping[str, Any], series: list[CostSeries], parsed: argparse.Namespace) -> list[Change]:
    """Find where two rows change order; exact if both are counted without a mark."""
    from harness.stats.scaling import crossings

    found = []
    for first, second in combinations(series, 2):
        for crossing in crossings(first.sizes, first.costs, second.costs):
            names = (first.label, second.label)
            before, after = names[::-1] if crossing.first_is_cheaper_after else names
            counted = parsed.measure == "macs" and first.is_sound and second.is_sound
            exact = _exact(configs[before], configs[after], crossing, parsed) if counted else None
            found.append(Change(before, after, crossing, exact))
    return found


def _exact(before: Mapping[str, Any], after: Mapping[str, Any], crossing: Crossing, parsed: argparse.Namespace) -> int:
    """Return the first size that can be built at which the row `after` is cheaper."""
    from harness.bench.scaling import at_size, closed_form
    from harness.stats.scaling import first_size

    def at(row: Mapping[str, Any], size: int) -> int:
        return closed_form(at_size(row, parsed.over, size, parsed.variants), parsed.variants)

    step = max(_step(row, parsed.over) for row in (before, after))
    return first_size(int(crossing.low), int(crossing.high), step, lambda size: at(after, size) < at(before, size))


def _step(config: Mapping[str, Any], over: str) -> int:
    """Distance between two sizes that can be built."""
    model = config["model"]
    return int({"num_frames": model["tubelet_size"], "crop_size": model["patch_size"]}.get(over, 1))


def _as_data(
    parsed: argparse.Namespace, series: Mapping[str, tuple[CostSeries, list[dict[str, Any]]]], changes: list[Change],
    left_out: list[str],
) -> dict[str, Any]:  # fmt: skip
    from harness.bench.scaling import QUANTITIES

    rows = [{"label": label, "points": points, "fit": asdict(line.fit)} for label, (line, points) in series.items()]
    return {
        "over": parsed.over,
        "quantity": QUANTITIES[parsed.measure],
        "rows": rows,
        "changes_of_order": [asdict(change) for change in changes],
        "rows_without_the_field": left_out,
    }


def _print_csv(result: Mapping[str, Any]) -> None:
    from harness.text.escapes import csv_cell

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["label", result["over"], result["quantity"], "mark", "exponent", "exponent_low", "exponent_high"])
    for row in result["rows"]:
        fit = [row["fit"][key] for key in ("exponent", "low", "high")]
        for point in row["points"]:
            writer.writerow([csv_cell(row["label"]), point["size"], point["cost"], point["mark"], *fit])


def _print(parsed: argparse.Namespace, series: list[CostSeries], changes: list[Change], left_out: list[str]) -> None:
    from rich.table import Table

    from harness.text.streams import console

    sizes = series[0].sizes
    table = Table("row", *map(str, sizes), "exponent", "95 % interval", "first to last step", box=None, pad_edge=False)
    for line in series:
        fit = line.fit
        interval = "-" if fit.low is None else f"{fit.low:.3f} to {fit.high:.3f}"
        costs = [_cell(cost, mark, parsed.measure) for cost, mark in zip(line.costs, line.marks, strict=True)]
        table.add_row(line.label, *costs, f"{fit.exponent:.3f}", interval, f"{fit.local[0]:.3f} to {fit.local[-1]:.3f}")
    print(f"{parsed.measure} over {parsed.over}")
    console(width=220).print(table, markup=False)
    for change in changes:
        print(_sentence(change, parsed.over))
    if left_out:
        print(f"without {parsed.over}, left out: {', '.join(left_out)}")


def _cell(cost: float, mark: str, measure: str) -> str:
    return TEXT[measure](cost) + (f" ({mark})" if mark else "")


def _sentence(change: Change, over: str) -> str:
    where = f"{over} {change.crossing.at:.3g} (interpolated)"
    if change.exact is not None:
        where += f", first at {change.exact} (counted)"
    return f"{change.cheaper_after} becomes cheaper than {change.cheaper_before} from {where}"


def _draw(parsed: argparse.Namespace, series: list[CostSeries], result: Mapping[str, Any]) -> None:
    from harness.reports.common import plots
    from harness.reports.common.machine_figures import scaling_page
    from harness.store.folders import make_folder

    folder = make_folder(parsed.to)
    page = scaling_page(series, parsed.over, parsed.measure)
    file = folder / f"{page.name}.json"
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for path in [*plots.save([page], folder), file]:
        print(path, file=sys.stderr)
