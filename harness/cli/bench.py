"""`bench`: compares the rows of a sweep file, or variants, in time and, where a meter is, in energy."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness import units
from harness.cli.common import arguments
from harness.cli.common.rows import add_rows, read_rows
from harness.cli.common.target import add_targets
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.bench.comparison import BenchResult, BestBatchResult, RowResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_targets(parser)
    add_rows(parser)
    parser.add_argument("--mode", choices=["inference", "train_step"], default="inference")
    parser.add_argument(
        "--batch-size", type=arguments.positive_int, metavar="N", help="clips per call (default: measure.batch_size)"
    )
    arguments.add_protocol(parser)
    parser.add_argument("--compile", metavar="BACKEND", help="torch.compile backend, e.g. inductor (default: eager)")
    parser.add_argument("--best-batch", action="store_true", help="find the batch of the highest throughput too")
    parser.add_argument(
        "--roofline", action="store_true", help="measure the machine's peak, print MFU, draw a roofline"
    )
    parser.add_argument("--seed", type=int, default=0, help="order of the visits (default: 0)")
    parser.add_argument(
        "--out", type=Path, default=Path("bench"), metavar="DIR", help="folder for JSON and figures (default: bench)"
    )


def run(parsed: argparse.Namespace) -> int:
    from harness.bench.comparison import BEST_KNOWN_FILE, BenchOptions, compare, find_best_batch
    from harness.bench.machine_best import BestKnown
    from harness.measure.machine.environment import environment
    from harness.store import write_atomically
    from harness.store.folders import make_folder

    twice = [target for target in parsed.targets if parsed.targets.count(target) > 1]
    if twice:
        raise UserError(f"bench: {twice[0]} is given twice. `selftest` compares a configuration with itself.")
    name, configs, baseline = read_rows(parsed)
    folder = make_folder(parsed.out)
    options = BenchOptions(
        mode=parsed.mode, batch_size=parsed.batch_size, num_processes=parsed.repeats, num_blocks=parsed.blocks,
        compile=parsed.compile, seed=parsed.seed, patience_s=parsed.patience,
        variant_dirs=[str(path.resolve()) for path in parsed.variants],
    )  # fmt: skip
    found = environment(configs[baseline]["train"]["device"])
    known = BestKnown(folder / BEST_KNOWN_FILE, found | {"num_threads": configs[baseline]["train"]["num_threads"]})
    result = compare(configs, baseline, options, lambda line: print(line, flush=True), known.read())
    result.environment = found
    _print(result)
    for label, config in configs.items() if parsed.best_batch else ():
        result.best_batches.append(find_best_batch(label, config, options))
        print(_best_batch_line(result.best_batches[-1]), flush=True)
    file = folder / f"{name}_{parsed.mode}.json"
    write_atomically(file, result.model_dump_json(indent=1))
    print(f"samples: {file}")
    known.learn(result.runs)
    if parsed.roofline:
        from harness.cli.common.roofline import roofline

        roofline(name, configs, result, folder)
    return 0 if all(row.status == "done" for row in result.rows) else 1


def _print(result: BenchResult) -> None:
    from rich.console import Console
    from rich.table import Table

    from harness.stats.ratios import QUIET_FACTOR

    with_energy = any(row.energy_j_per_clip is not None for row in result.rows)
    columns = ["row", "median", "IQR", "p95", "first call", "second call"]
    columns += ["compile"] * (result.options.compile is not None) + ["energy per clip"] * with_energy
    table = Table(*columns, "ratio", "95 %", "", box=None, pad_edge=False)
    for row in result.rows:
        table.add_row(*cells(row, result, with_energy))
    console = Console() if Console().is_terminal else Console(width=200)
    console.print(table, markup=False)
    for row in result.rows:
        for mark in row.marks:
            print(f"{row.label}: {mark}")
    aside = max(result.rows, key=lambda row: row.num_set_aside)
    if aside.num_set_aside:
        print(
            f"set aside: {aside.num_set_aside} of {aside.num_blocks} blocks, in which a fixed piece of work took over "
            f"{QUIET_FACTOR:g} times the {units.milliseconds(result.best_reference_ms)} it takes at this machine's best"
        )


def cells(row: RowResult, result: BenchResult, with_energy: bool) -> list[str]:
    """One line of the table."""
    values = [row.median_ms, row.iqr_ms, row.p95_ms, row.first_call_ms, row.second_call_ms]
    values += [row.compile_ms] * (result.options.compile is not None)
    times = [units.milliseconds(value) for value in values]
    times += ["-" if row.energy_j_per_clip is None else f"{row.energy_j_per_clip:.3g} J"] * with_energy
    if row.median_ms is None:
        return [row.label, row.status, *["-"] * (len(times) + 1), row.message]
    if row.label == result.baseline or row.ratio is None:
        return [row.label, *times, "1", "", "baseline"]
    interval = "-" if row.ratio_low is None else f"{row.ratio_low:.3f} to {row.ratio_high:.3f}"
    return [row.label, *times, f"{row.ratio:.3f}", interval, "" if row.significant else "not significant"]


def _best_batch_line(found: BestBatchResult) -> str:
    size, last = list(found.probes.items())[-1]
    end = "" if last.status == "done" else f" (batch {size}: {last.status}: {last.message})"
    rate = "none" if found.clips_per_s is None else f"{found.clips_per_s:.4g} clips/s at batch {found.batch_size}"
    return f"{found.label}: best throughput {rate}{end}"
