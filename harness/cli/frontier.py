"""`frontier`: the most frames, pixels, clips or neighbour frames of each row within a budget."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.common import arguments
from harness.cli.common.target import add_targets, rows_of
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.bench.frontier import FrontierOptions, RowFrontier


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_targets(parser)
    parser.add_argument(
        "--over", choices=["num_frames", "crop_size", "batch_size", "temporal_window"], required=True, help="what grows"
    )
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--latency-ms", type=arguments.positive_float, metavar="X", help="largest median latency")
    budget.add_argument("--memory-mib", type=arguments.positive_int, metavar="Y", help="largest peak memory")
    parser.add_argument("--predicted", action="store_true", help="predict memory instead of measuring it")
    parser.add_argument("--mode", choices=["inference", "train_step"], default="inference")
    parser.add_argument(
        "--batch-size",
        type=arguments.positive_int,
        metavar="N",
        help="clips (default: 1, for memory measure.batch_size)",
    )
    parser.add_argument(
        "--most", type=arguments.positive_int, default=1024, help="largest value to try (default: 1024)"
    )
    parser.add_argument(
        "--probe-limit",
        type=arguments.parse_duration,
        default=120.0,
        metavar="TIME",
        help="time limit of one probe (default: 2m)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("bench"), metavar="DIR", help="folder for JSON and figures (default: bench)"
    )


def run(parsed: argparse.Namespace) -> int:
    from harness.bench.frontier import FrontierOptions, row_frontier
    from harness.store.folders import make_folder

    if parsed.predicted and parsed.memory_mib is None:
        raise UserError("--predicted: only memory can be predicted; give --memory-mib")
    rows = rows_of(parsed)
    configs = rows.configs
    _check_field(parsed.over, configs)
    folder = make_folder(parsed.out)
    options = FrontierOptions(
        over=parsed.over, latency_ms=parsed.latency_ms, memory_mib=parsed.memory_mib, mode=parsed.mode,
        predicted=parsed.predicted, batch_size=parsed.batch_size, most=parsed.most, timeout_s=parsed.probe_limit,
        variant_dirs=[str(path.resolve()) for path in parsed.variants],
    )  # fmt: skip
    found = []
    for label, config in configs.items():
        found.append(row_frontier(label, config, options))
        print(line(found[-1], options), flush=True)
    _write(f"{rows.name}_{parsed.over}", found, options, folder)
    return 0


def _check_field(over: str, configs: dict[str, dict[str, Any]]) -> None:
    without = [
        label for label, config in configs.items() if over == "temporal_window" and over not in config["variant"]
    ]
    if without:
        raise UserError(f"--over temporal_window: no such field in {'; '.join(without)}. Choose others with --rows.")


def line(row: RowFrontier, options: FrontierOptions) -> str:
    """The result of one row as a sentence, with what stopped the search."""
    if row.largest is None:
        head = f"not even the smallest {row.over} fits {options.budget}"
    else:
        head = f"{row.over} {row.largest}{'' if row.bounded else ' or more'} within {options.budget}"
    above = [value for value in row.probes if value > (row.largest or -1)]
    mark = f" [{row.mark}]" if row.mark else ""
    if not above:
        return f"{row.label}: {head}{mark}"
    stopped = row.probes[min(above)]
    requested = f", requested {stopped.requested_bytes} bytes" if stopped.requested_bytes else ""
    why = "over the budget" if stopped.status == "done" else f"{stopped.status}: {stopped.message}{requested}"
    return f"{row.label}: {head} (at {min(above)}: {why}){mark}"


def _write(name: str, rows: list[RowFrontier], options: FrontierOptions, folder: Path) -> None:
    from harness.reports.common import plots
    from harness.reports.common.machine_figures import frontier_page
    from harness.store import write_atomically

    content = {"options": options.model_dump(), "rows": [row.model_dump() for row in rows]}
    file = folder / f"{name}_frontier.json"
    write_atomically(file, json.dumps(content, indent=1))
    labels = {row.label: row.label + " (unproven)" * bool(row.mark) for row in rows}
    largest, ends = {labels[row.label]: row.largest for row in rows}, [labels[r.label] for r in rows if not r.bounded]
    page = frontier_page(file.stem, options.over, options.budget, largest, ends)
    print(f"{file}, {', '.join(str(path) for path in plots.save([page], folder))}")
