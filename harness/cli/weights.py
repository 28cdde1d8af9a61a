"""`weights`: import a file of weights into the first model of a sweep and print what was loaded, without training."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness.cli.common import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="the file of weights, or hf://org/name")
    parser.add_argument(
        "--for", dest="sweep", type=Path, required=True, metavar="SWEEP", help="sweep file whose first row is built"
    )
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="PATH=VALUE",
        help="override one field of the sweep, e.g. --set weights.classifier=keep (repeatable)",
    )  # fmt: skip
    arguments.add_variants(parser)


def run(parsed: argparse.Namespace) -> int:
    from harness.data import open_split
    from harness.model.video_transformer import VideoTransformer
    from harness.model.weights.apply import import_weights
    from harness.python_api.plans import plan_for
    from harness.sweep.schema import TrialConfig

    overrides = [*parsed.overrides, f"weights.file={json.dumps(parsed.file, ensure_ascii=False)}"]
    planned = plan_for(parsed.sweep, set=overrides, variants=parsed.variants, runs_here=False)
    trial = TrialConfig(**planned.trials[0].config)
    assert trial.weights is not None
    labels = open_split(trial.data, trial.model, "test", trial.seed).labels
    model = VideoTransformer.of(trial, labels, parsed.variants)
    print(f"{planned.name}, row {planned.trials[0].label}")
    print(import_weights(model, trial.model, trial.weights).text())
    return 0
