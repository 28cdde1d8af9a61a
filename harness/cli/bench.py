"""`bench`: compare the rows of a sweep file, or variants, in time and, with a meter, in energy."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness import units
from harness.cli.common import arguments
from harness.cli.common.target import add_targets

if TYPE_CHECKING:
    from harness.bench.comparison import BenchResult, BestBatchResult
    from harness.bench.row_result import RowResult
    from harness.python_api.timing import Comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_targets(parser)
    parser.add_argument("--mode", choices=["inference", "train_step"], default="inference")
    parser.add_argument(
        "--batch-size", type=arguments.positive_int, metavar="N", help="clips per call (default: measure.batch_size)"
    )
    arguments.add_protocol(parser)
    parser.add_argument("--compile", metavar="BACKEND", help="torch.compile backend, e.g. inductor (default: eager)")
    parser.add_argument("--best-batch", action="store_true", help="also find the batch size of the highest throughput")
    parser.add_argument(
        "--roofline", action="store_true", help="also measure the machine's peak, print MFU and draw a roofline"
    )
    parser.add_argument("--seed", type=int, default=0, help="order of the visits (default: 0)")
    parser.add_argument(
        "--out", type=Path, default=Path("bench"), metavar="DIR", help="folder for JSON and figures (default: bench)"
    )


def run(parsed: argparse.Namespace) -> int:
    from harness.python_api.timing import time_variants, write_samples

    comparison = time_variants(
        parsed.targets, set=parsed.overrides, variants=parsed.variants, rows=parsed.rows, mode=parsed.mode,
        batch_size=parsed.batch_size, repeats=parsed.repeats, blocks=parsed.blocks, patience_s=parsed.patience,
        compile=parsed.compile, seed=parsed.seed, folder=parsed.out, log=lambda line: print(line, flush=True),
    )  # fmt: skip
    _print(comparison.result)
    if parsed.best_batch:
        _best_batches(comparison)
        write_samples(comparison)
    print(f"samples: {comparison.file}")
    if parsed.roofline:
        from harness.cli.common.roofline import roofline

        roofline(comparison.rows.name, comparison.rows.configs, comparison.result, parsed.out)
    return 0 if comparison.is_done else 1


def _best_batches(comparison: Comparison) -> None:
    from harness.bench.comparison import find_best_batch

    result = comparison.result
    for label, config in comparison.rows.configs.items():
        result.best_batches.append(find_best_batch(label, config, result.options))
        print(_best_batch_line(result.best_batches[-1]), flush=True)


def _print(result: BenchResult) -> None:
    from rich.table import Table

    from harness.stats.ratios import QUIET_FACTOR
    from harness.text.streams import console

    with_energy = any(row.energy_j_per_clip is not None for row in result.rows)
    columns = ["row", "median", "IQR", "p95", "first call", "second call"]
    columns += ["compile"] * (result.options.compile is not None) + ["energy per clip"] * with_energy
    table = Table(*columns, "ratio", "95 %", "", box=None, pad_edge=False)
    for row in result.rows:
        table.add_row(*cells(row, result, with_energy))
    console(width=200).print(table, markup=False)
    for row in result.rows:
        for mark in row.marks:
            print(f"{row.label}: {mark}")
    aside = max(result.rows, key=lambda row: row.num_set_aside)
    if aside.num_set_aside:
        print(
            f"set aside: {aside.num_set_aside} of {aside.num_blocks} blocks, whose noise probe took more than "
            f"{QUIET_FACTOR:g} times the {units.milliseconds(result.best_noise_probe_ms)} of this machine's best"
        )


def cells(row: RowResult, result: BenchResult, with_energy: bool) -> list[str]:
    """The cells of one row of the table."""
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
