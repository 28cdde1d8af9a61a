"""`selftest`: compare a configuration with itself and count how often the timing protocol finds a difference.

With `--pair`, repeat one comparison of two variants instead and print the spread of its ratios.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import units
from harness.cli.common import arguments
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.bench.comparison import BenchOptions
    from harness.bench.machine_best import MachineBest
    from harness.bench.row_result import RowResult

ALPHA = 0.05
SPREAD = 0.03  # between the ratios of repeated comparisons


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=arguments.positive_int, default=5, metavar="N", help="comparisons (default: 5; 100 for a rate)"
    )
    arguments.add_protocol(parser)
    parser.add_argument(
        "--pair",
        nargs=2,
        metavar=("A", "B"),
        help="repeat the comparison of two variants and print the spread of its ratios",
    )


def run(parsed: argparse.Namespace) -> int:
    configs = _configs(parsed)
    with tempfile.TemporaryDirectory() as folder:
        known = _known(configs, Path(folder))
        if _is_on_cpu(configs):
            print("first a warm-up comparison, which measures this machine at its best", flush=True)
            _compare(configs, _learning(_options(parsed, 0)), known)
        found: list[RowResult] = []
        start = time.monotonic()
        for number in range(1, parsed.runs + 1):
            found.append(_compare(configs, _options(parsed, number), known))
            if found[-1].ratio is None:
                print(f"run {number}: {found[-1].status}: {found[-1].message}")
                return 1
            spent = time.monotonic() - start
            left = spent / number * (parsed.runs - number)
            print(f"run {number} of {parsed.runs}: {_line(found[-1])}  ({units.duration(left)} to go)", flush=True)
    took = f"{(time.monotonic() - start) / len(found):.1f} s each"
    return _repeatability(found, took) if parsed.pair else _false_positives(found, took)


def _is_on_cpu(configs: dict[str, Any]) -> bool:
    return all(config["train"]["device"] == "cpu" for config in configs.values())


def _known(configs: dict[str, Any], folder: Path) -> MachineBest:
    """The best times of this machine, from the comparisons of this command only."""
    from harness.bench.machine_best import MACHINE_BEST_FILE, MachineBest
    from harness.measure.machine.environment import environment

    train = next(iter(configs.values()))["train"]
    return MachineBest(folder / MACHINE_BEST_FILE, environment(train["device"]) | {"num_threads": train["num_threads"]})


def _was_quiet(row: RowResult) -> bool:
    """True if the comparison ran on a quiet machine, as the protocol requires."""
    return not any(mark.startswith("never quiet") for mark in row.marks)


def _configs(parsed: argparse.Namespace) -> dict[str, Any]:
    if not parsed.pair:
        return {"A": _config(), "A again": _config()}
    from harness.python_api.targets import plan_targets

    if len(set(parsed.pair)) < 2:
        raise UserError("--pair: give two different variants. Without --pair, a configuration is compared with itself.")
    plans = plan_targets(parsed.pair, [], [])
    return {plan.name: plan.trials[0].config for plan in plans}


def _options(parsed: argparse.Namespace, number: int) -> BenchOptions:
    """The options of `bench`; with shorter visits where a configuration is compared with itself."""
    from harness.bench.comparison import MAX_PROCESSES_FACTOR, BenchOptions

    given: dict[str, Any] = {} if parsed.pair else {"visit_seconds": 0.02, "batch_size": 1}
    seed = number * parsed.repeats * MAX_PROCESSES_FACTOR  # each comparison has its own order of visits
    return BenchOptions(
        num_processes=parsed.repeats, num_blocks=parsed.blocks, patience_s=parsed.patience, seed=seed, **given
    )


def _compare(configs: dict[str, Any], options: BenchOptions, known: MachineBest) -> RowResult:
    """Compare once and return the second row's result; the best time of a quiet machine is kept for the next one."""
    from harness.bench.comparison import compare_rows

    result = compare_rows(configs, next(iter(configs)), options, known_best_ms=known.read())
    if _was_quiet(result.rows[-1]):
        known.learn(result.runs)
    return result.rows[-1]


def _learning(options: BenchOptions) -> BenchOptions:
    """The options with enough blocks to know the machine's best; each block has four noise probes."""
    from harness.bench.machine_best import MIN_NOISE_PROBES

    least = math.ceil(MIN_NOISE_PROBES / (4 * options.num_processes))
    return options.model_copy(update={"num_blocks": max(options.num_blocks, least)})


def _line(row: RowResult) -> str:
    interval = "-" if row.ratio_low is None else f"{row.ratio_low:.4f} to {row.ratio_high:.4f}"
    aside = f", {row.num_set_aside} of {row.num_blocks} blocks set aside" if row.num_set_aside else ""
    aside += "" if _was_quiet(row) else ", never quiet"
    different = "  DIFFERENT" if row.significant else ""
    return f"ratio {row.ratio:.4f}, {interval}{aside}{different}"


def _false_positives(found: list[RowResult], took: str) -> int:
    """Print the false-positive rate of comparisons on a quiet machine; the others are listed separately."""
    from harness.stats.intervals import wilson_interval

    counted = [row for row in found if _was_quiet(row)]
    others = [row for row in found if not _was_quiet(row)]
    if others:
        wrong, left_out = sum(row.significant for row in others), units.counted(len(others), "comparison")
        print(f"not counted: {left_out} on a machine that was never quiet, {wrong} of them found a difference")
    if not counted:
        print(f"the machine was never quiet: no rate can be estimated; {took}")
        return 1
    false = sum(row.significant for row in counted)
    low, high = wilson_interval(false, len(counted))
    print(
        f"A/A: {false} of {len(counted)} comparisons of a configuration with itself found a difference: "
        f"{units.percent(false / len(counted))} (95 %: {units.percent(low)} to {units.percent(high)}), "
        f"alpha {units.percent(ALPHA, 0)}; {took}"
    )
    return 0 if low <= 2 * ALPHA else 1


def _repeatability(found: list[RowResult], took: str) -> int:
    counted = [row for row in found if _was_quiet(row)]
    if len(counted) < 2:
        print(
            f"the machine was quiet in {len(counted)} of {len(found)} comparisons: no spread can be estimated; {took}"
        )
        return 1
    ratios = sorted(row.ratio for row in counted if row.ratio is not None)
    spread = ratios[-1] / ratios[0] - 1
    print(
        f"{found[0].label}: {len(ratios)} of {len(found)} comparisons ran on a quiet machine; ratios "
        f"{ratios[0]:.4f} to {ratios[-1]:.4f}, a spread of {units.percent(spread)} (limit: "
        f"{units.percent(SPREAD, 0)}); {took}"
    )
    return 0 if spread <= SPREAD else 1


def _config() -> dict[str, Any]:
    """The default configuration: a small model on random clips, one thread."""
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
