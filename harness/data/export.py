"""Writes moving_shapes as video files with lists, to exercise the video-file path without a download.

Files are H.264 coded as RGB and without loss (libx264rgb, qp 0), because the usual 4:2:0 coding halves the colour
resolution of frames of 16 pixels and any loss would break the exact time reversal of val and test. FFmpeg decodes such
files to the same bytes; many players do not show them. At scale 1 the files hold exactly the embedded clips.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from harness.data import open_split
from harness.data.scenes import TASKS, Task
from harness.data.sets.moving_shapes import MovingShapesClips, MovingShapesConfig
from harness.data.source import SPLITS, Split
from harness.errors import UserError
from harness.nn.config import ModelConfig

FPS = 30
ACTION = "action"
MARKER = "export.json"
MAX_SCALE = 64


@dataclass(frozen=True)
class ExportSummary:
    """Summary of an export: the folder, videos per split, the size of all video files in bytes, and the class names."""

    folder: str
    num_videos: dict[str, int]
    total_bytes: int
    classes: tuple[str, ...]


def export_moving_shapes(
    data: MovingShapesConfig,
    model: ModelConfig,
    folder: str | Path,
    *,
    num_train: int,
    num_val: int,
    num_test: int,
    label: str,
    scale: int = 1,
) -> ExportSummary:
    """Writes mp4 files, `train.csv`, `val.csv`, `test.csv` (`path label`, relative) and `classes.json` to a folder.

    `label` is a label of the task, or "action" where it has verb and noun (class = verb * nouns + noun). Each pixel
    becomes a square of `scale` pixels. An earlier export in the folder is replaced.

    Raises:
        UserError: the folder holds something else, or an argument is out of range.
    """
    task = TASKS[data.task]
    classes = _class_names(task, label)
    counts: dict[Split, int] = {"train": num_train, "val": num_val, "test": num_test}
    _check(counts, task, scale)
    data = data.model_copy(update={f"num_{split}": count for split, count in counts.items()})
    sources = {split: cast(MovingShapesClips, open_split(data, model, split, seed=0)) for split in SPLITS}
    target = _claimed(Path(folder), data, model, label, scale)
    total_bytes = sum(_write_split(sources[split], target, split, label, scale) for split in SPLITS)
    (target / "classes.json").write_text(json.dumps(classes, indent=1) + "\n", encoding="utf-8")
    num_videos = {str(split): len(source) for split, source in sources.items()}
    return ExportSummary(str(target), num_videos, total_bytes, classes)


def _class_names(task: Task, label: str) -> tuple[str, ...]:
    if label in task.classes:
        return task.classes[label]
    if label == ACTION and {"verb", "noun"} <= task.classes.keys():
        return tuple(f"{verb}_{noun}" for verb in task.classes["verb"] for noun in task.classes["noun"])
    allowed = [*task.classes, *([ACTION] if "verb" in task.classes else [])]
    raise UserError(f"label {label!r}: this task has no such label. Choose one of: {', '.join(allowed)}")


def _check(counts: dict[Split, int], task: Task, scale: int) -> None:
    for split, count in counts.items():
        step = 1 if split == "train" or task.group == 1 else 2
        if count < 1 or count % step:
            rule = "positive" if step == 1 else "positive and even, because clips come in pairs"
            raise UserError(f"num_{split} {count}: must be {rule}")
    if not 1 <= scale <= MAX_SCALE:
        raise UserError(f"scale {scale}: must be 1..{MAX_SCALE} pixels for each pixel")


def _claimed(folder: Path, data: MovingShapesConfig, model: ModelConfig, label: str, scale: int) -> Path:
    """Claims the folder: the marker is written first, so that an interrupted export can be repeated."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder that is new, empty, or an earlier export")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise UserError(f"{folder}: is not empty and not an earlier export; name a new or empty folder, or empty it")
    folder.mkdir(parents=True, exist_ok=True)
    geometry = {"num_frames": model.num_frames, "crop_size": model.crop_size}
    settings = {"data": data.model_dump(), **geometry, "label": label, "scale": scale}
    (folder / MARKER).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    for split in SPLITS:
        (folder / f"{split}.csv").unlink(missing_ok=True)
        for video in (folder / split).glob("[0-9]*.mp4"):
            video.unlink()
    return folder


def _write_split(source: MovingShapesClips, folder: Path, split: Split, label: str, scale: int) -> int:
    """Writes the videos of a split, then its list, which never names a missing file; returns the bytes of video."""
    (folder / split).mkdir(exist_ok=True)
    lines, total = [], 0
    for index in range(len(source)):
        clip, labels = source.clip(index)
        name = f"{split}/{index:06d}.mp4"
        write_video(folder / name, clip.repeat(scale, 2).repeat(scale, 3).transpose(0, 2, 3, 1))
        total += (folder / name).stat().st_size
        lines.append(f"{name} {_class_of(labels, source, label)}\n")
    (folder / f"{split}.csv").write_text("".join(lines), encoding="utf-8")
    return total


def _class_of(labels: dict[str, int], source: MovingShapesClips, label: str) -> int:
    return labels["verb"] * source.labels["noun"] + labels["noun"] if label == ACTION else labels[label]


def write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    """Writes RGB frames (T, H, W, 3) as lossless H.264 at 30 frames per second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=FPS, options={"qp": "0", "preset": "veryfast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
