"""`selftest`: enters one configuration twice and counts how often the timing protocol finds a difference.

With `--pair`, it repeats one comparison of two variants instead and tells how far its ratios lie apart.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from harness import units
from harness.cli import arguments
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.launch.bench import BenchOptions, RowResult

ALPHA = 0.05
SPREAD = 0.03  # between the ratios of repeated comparisons


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=arguments.positive_int, default=5, metavar="N", help="comparisons (default: 5; 100 for a rate)"
    )
    parser.add_argument(
        "--repeats",
        type=arguments.positive_int,
        default=5,
        metavar="N",
        help="processes per comparison (default: 5; up to three times as many where the machine is not quiet)",
    )
    parser.add_argument(
        "--blocks", type=arguments.positive_int, default=10, metavar="N", help="ABBA blocks per process"
    )
    arguments.add_patience(parser)
    parser.add_argument(
        "--pair",
        nargs=2,
        metavar=("A", "B"),
        help="repeat the comparison of two variants: how far do its ratios differ?",
    )


def run(parsed: argparse.Namespace) -> int:
    found: list[RowResult] = []
    best_ms = None  # of the machine, in all comparisons so far
    configs, start = _configs(parsed), time.monotonic()
    for number in range(parsed.runs):
        row, best_ms = _compare(configs, _options(parsed, number), best_ms)
        found.append(row)
        if found[-1].ratio is None:
            print(f"run {number + 1}: {found[-1].status}: {found[-1].message}")
            return 1
        spent = time.monotonic() - start
        left = spent / len(found) * (parsed.runs - len(found))
        print(f"run {number + 1} of {parsed.runs}: {_line(found[-1])}  ({units.duration(left)} to go)", flush=True)
    took = f"{(time.monotonic() - start) / len(found):.1f} s each"
    return _repeatability(found, took) if parsed.pair else _false_positives(found, took)


def _was_quiet(row: RowResult) -> bool:
    """Only comparisons made on a quiet machine are those of the protocol."""
    return not any(mark.startswith("never quiet") for mark in row.marks)


def _configs(parsed: argparse.Namespace) -> dict[str, Any]:
    if not parsed.pair:
        return {"A": _config(), "A again": _config()}
    from harness.cli.target import plan_targets

    if len(set(parsed.pair)) < 2:
        raise UserError("--pair: give two different variants; without --pair a configuration meets itself.")
    plans = plan_targets(parsed.pair, [], [])
    return {plan.name: plan.trials[0].config for plan in plans}


def _options(parsed: argparse.Namespace, number: int) -> BenchOptions:
    """As `bench` has them; the comparison of equals, which is made a hundred times, with shorter visits."""
    from harness.launch.bench import BenchOptions
    from harness.launch.bench.comparison import MAX_PROCESSES_FACTOR

    given: dict[str, Any] = {} if parsed.pair else {"visit_seconds": 0.02, "batch_size": 1}
    seed = number * parsed.repeats * MAX_PROCESSES_FACTOR  # no two comparisons visit in the same order
    return BenchOptions(
        num_processes=parsed.repeats, num_blocks=parsed.blocks, patience_s=parsed.patience, seed=seed, **given
    )


def _compare(configs: dict[str, Any], options: BenchOptions, best_ms: float | None) -> tuple[RowResult, float | None]:
    """The second row's result, and the reference work at the machine's best so far."""
    from harness.launch.bench import compare

    result = compare(configs, next(iter(configs)), options, known_best_ms=best_ms)
    return result.rows[-1], result.best_reference_ms


def _line(row: RowResult) -> str:
    interval = "-" if row.ratio_low is None else f"{row.ratio_low:.4f} to {row.ratio_high:.4f}"
    aside = f", {row.num_set_aside} of {row.num_blocks} blocks set aside" if row.num_set_aside else ""
    aside += "" if _was_quiet(row) else ", never quiet"
    different = "  DIFFERENT" if row.significant else ""
    return f"ratio {row.ratio:.4f}, {interval}{aside}{different}"


def _false_positives(found: list[RowResult], took: str) -> int:
    """The rate of the comparisons that met a quiet machine; that of the others is told apart."""
    from harness.stats.intervals import wilson_interval

    counted = [row for row in found if _was_quiet(row)]
    others = [row for row in found if not _was_quiet(row)]
    if others:
        wrong = sum(row.significant for row in others)
        print(f"not counted: {len(others)} comparisons on a machine that was never quiet, {wrong} of them different")
    if not counted:
        print(f"the machine was never quiet: nothing can be said; {took}")
        return 1
    false = sum(row.significant for row in counted)
    low, high = wilson_interval(false, len(counted))
    print(
        f"A/A: {false} of {len(counted)} comparisons of a configuration with itself came out different: "
        f"{units.percent(false / len(counted))} (95 %: {units.percent(low)} to {units.percent(high)}), "
        f"alpha {units.percent(ALPHA, 0)}; {took}"
    )
    return 0 if low <= 2 * ALPHA else 1


def _repeatability(found: list[RowResult], took: str) -> int:
    counted = [row for row in found if _was_quiet(row)]
    if len(counted) < 2:
        print(f"the machine was quiet in {len(counted)} of {len(found)} comparisons: nothing can be said; {took}")
        return 1
    ratios = sorted(row.ratio for row in counted if row.ratio is not None)
    spread = ratios[-1] / ratios[0] - 1
    print(
        f"{found[0].label}: {len(ratios)} of {len(found)} comparisons met a quiet machine, their ratios are "
        f"{ratios[0]:.4f} to {ratios[-1]:.4f}: they differ by {units.percent(spread)} at most (wanted: "
        f"{units.percent(SPREAD, 0)}); {took}"
    )
    return 0 if spread <= SPREAD else 1


def _config() -> dict[str, Any]:
    """The embedded default: a small model on random clips, one thread."""
    from harness.sweep.schema import TrialConfig

    config = TrialConfig.model_validate(
        {
            "data": {"name": "random", "num_classes": 10},
            "model": {"size": "demo"},
            "variant": {"name": "joint"},
            "readout": {"name": "mean_tokens"},
            "train": {"device": "cpu"},
            "seed": 0,
        }
    )
    return config.model_dump()
