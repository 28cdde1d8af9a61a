"""`data export` writes embedded clips as H.264 files with lists; `data check` decodes and hashes listed videos."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness import units
from harness.cli.common import arguments
from harness.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    export = actions.add_parser("export", help="write clips as mp4 files, with Kinetics-style lists")
    export.add_argument("source", choices=["moving_shapes"], help="which embedded data")
    export.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    export.add_argument("--task", default="motion", choices=["motion", "order", "cyclic", "delay", "static"])
    export.add_argument("--label", help="which label the lists carry (default: the task's first, e.g. verb for motion)")
    export.add_argument("--num-frames", type=arguments.positive_int, default=8)
    export.add_argument("--size", type=arguments.positive_int, default=16, help="pixels, before --scale")
    export.add_argument(
        "--scale", type=arguments.positive_int, default=1, help="each pixel becomes a square of this side"
    )
    export.add_argument("--num-train", type=arguments.positive_int, default=2048)
    export.add_argument("--num-val", type=arguments.positive_int, default=128)
    export.add_argument("--num-test", type=arguments.positive_int, default=512)
    check = actions.add_parser("check", help="decode every listed video of a sweep, and store hashes of whole files")
    arguments.add_sweep(check)


def run(parsed: argparse.Namespace) -> int:
    return _check(parsed) if parsed.action == "check" else _export(parsed)


def _check(parsed: argparse.Namespace) -> int:
    from harness.data import data_set
    from harness.sweep.plan import plan_sweep
    from harness.sweep.sweep_file import find_sweep

    plan = plan_sweep(
        find_sweep(parsed.file), parsed.overrides, data_identity=lambda data: "", variant_dirs=parsed.variants
    )
    blocks = {json.dumps(trial.config["data"]): trial.config["data"] for trial in plan.trials}
    lines = [line for block in blocks.values() for line in data_set(block).check_files()]
    if not lines:
        raise UserError(f"{parsed.file}: its data have no files to check")
    print("\n".join([*lines, "They are part of the identity of the data from now on."]))
    return 0


def _export(parsed: argparse.Namespace) -> int:
    from harness.data.export import export_moving_shapes
    from harness.data.scenes import TASKS
    from harness.data.sets.moving_shapes import MovingShapesConfig
    from harness.nn.config import ModelConfig

    data = MovingShapesConfig(name="moving_shapes", task=parsed.task)
    model = ModelConfig(num_frames=parsed.num_frames, crop_size=parsed.size)
    label = parsed.label or next(iter(TASKS[parsed.task].classes))
    summary = export_moving_shapes(
        data, model, parsed.to, num_train=parsed.num_train, num_val=parsed.num_val, num_test=parsed.num_test,
        label=label, scale=parsed.scale,
    )  # fmt: skip
    counts = ", ".join(f"{number} {split}" for split, number in summary.num_videos.items())
    print(f"{summary.folder}: {counts} videos, {units.num_bytes(summary.total_bytes)}")
    print(f"classes of {label}: {', '.join(summary.classes)}")
    return 0
