"""`data export`: embedded clips as H.264 files with lists, to exercise the video-file path."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import units
from harness.cli.common import arguments


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


def run(parsed: argparse.Namespace) -> int:
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
