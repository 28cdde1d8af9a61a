"""`selftest`: enters one configuration twice and counts how often the timing protocol finds a difference."""

from __future__ import annotations

import argparse
from typing import Any

from harness import units
from harness.cli import arguments

ALPHA = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=arguments.positive_int, default=5, metavar="N", help="comparisons (default: 5; 100 for a rate)"
    )
    parser.add_argument(
        "--repeats", type=arguments.positive_int, default=5, metavar="N", help="processes per comparison"
    )
    parser.add_argument(
        "--blocks", type=arguments.positive_int, default=10, metavar="N", help="ABBA blocks per process"
    )


def run(parsed: argparse.Namespace) -> int:
    from harness.launch.bench import BenchOptions, compare
    from harness.stats.intervals import wilson_interval

    config, found = _config(), []
    for number in range(parsed.runs):
        options = BenchOptions(
            num_processes=parsed.repeats, num_blocks=parsed.blocks, visit_seconds=0.02, batch_size=1,
            seed=number * parsed.repeats,
        )  # fmt: skip
        _, twin = compare({"A": config, "A again": config}, "A", options).rows
        found.append(twin)
        if twin.ratio is None:
            print(f"run {number + 1}: {twin.status}: {twin.message}")
            return 1
        interval = "-" if twin.ratio_low is None else f"{twin.ratio_low:.4f} to {twin.ratio_high:.4f}"
        print(
            f"run {number + 1}: ratio {twin.ratio:.4f}, {interval}{'  DIFFERENT' if twin.significant else ''}",
            flush=True,
        )
    false = sum(row.significant for row in found)
    low, high = wilson_interval(false, len(found))
    dirty = sum(bool(row.marks) for row in found)
    print(
        f"A/A: {false} of {len(found)} comparisons of a configuration with itself came out different: "
        f"{units.percent(false / len(found))} (95 %: {units.percent(low)} to {units.percent(high)}), "
        f"alpha {units.percent(ALPHA, 0)}; {dirty} of them on a machine that was not quiet"
    )
    return 0 if low <= 2 * ALPHA else 1


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
