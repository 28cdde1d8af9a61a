"""The exported files hold the embedded clips, byte for byte, and their lists have the same classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.data import data_identity, open_split
from harness.data.decode import read_frames
from harness.data.export import export_moving_shapes
from harness.data.sets.moving_shapes import MovingShapesConfig
from harness.data.sets.video_list import VideoListConfig
from harness.errors import UserError
from harness.nn.config import ModelConfig

COUNTS = {"num_train": 5, "num_val": 4, "num_test": 6}
DATA = MovingShapesConfig(name="moving_shapes", num_train=100, num_val=10, num_test=10)
Make = Callable[..., VideoListConfig]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_files_hold_the_embedded_clips(tmp_path: Path, make_config: Make, model: ModelConfig, split: str) -> None:
    summary = export_moving_shapes(DATA, model, tmp_path, **COUNTS, label="action")
    assert summary.num_videos == {"train": 5, "val": 4, "test": 6}
    assert summary.total_bytes == sum(video.stat().st_size for video in tmp_path.glob("*/*.mp4"))
    assert json.loads((tmp_path / "classes.json").read_text()) == list(summary.classes)
    assert summary.classes[4 * 2 + 1] == "down_triangle"
    embedded = open_split(DATA, model, split, 0).views(range(COUNTS[f"num_{split}"]))  # type: ignore[arg-type]
    files = open_split(make_config(tmp_path, num_classes=32), model, split, 0).views(range(COUNTS[f"num_{split}"]))
    assert torch.equal(files.clips, embedded.clips)
    assert torch.equal(files.labels["class"], embedded.labels["verb"] * 4 + embedded.labels["noun"])
    if split != "train":
        assert torch.equal(files.clips[1::2], files.clips[::2].flip(2))


def test_pixels_become_squares(tmp_path: Path, model: ModelConfig) -> None:
    export_moving_shapes(DATA, model, tmp_path / "x1", **COUNTS, label="verb")
    export_moving_shapes(DATA, model, tmp_path / "x3", **COUNTS, label="verb", scale=3)
    small, large = (read_frames(tmp_path / name / "train/000002.mp4", range(4)) for name in ("x1", "x3"))
    assert (large == small.repeat(3, 1).repeat(3, 2)).all()


def test_export_replaces_an_export_and_its_videos(tmp_path: Path, make_config: Make, model: ModelConfig) -> None:
    export_moving_shapes(DATA, model, tmp_path, **COUNTS, label="noun")
    first = data_identity(make_config(tmp_path))
    export_moving_shapes(DATA, model, tmp_path, num_train=2, num_val=2, num_test=2, label="noun")
    assert len(list(tmp_path.glob("*/*.mp4"))) == 6
    assert data_identity(make_config(tmp_path)) != first
    export_moving_shapes(DATA, model, tmp_path, **COUNTS, label="noun")
    assert data_identity(make_config(tmp_path)) == first


def test_other_folders_are_left_alone(tmp_path: Path, model: ModelConfig) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="is not empty and not an earlier export; name a new or empty folder"):
        export_moving_shapes(DATA, model, tmp_path, **COUNTS, label="noun")
    with pytest.raises(UserError, match="is a file"):
        export_moving_shapes(DATA, model, tmp_path / "thesis.txt", **COUNTS, label="noun")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "adverb"}, r"label 'adverb': .* Choose one of: verb, noun, action"),
        ({"num_test": 3}, "num_test 3: must be positive and even"),
        ({"num_train": 0}, "num_train 0: must be positive"),
        ({"scale": 0}, r"scale 0: must be 1\.\.64"),
    ],
)
def test_arguments_out_of_range_write_nothing(
    tmp_path: Path, model: ModelConfig, change: dict[str, object], message: str
) -> None:
    arguments = {**COUNTS, "label": "verb", **change}
    with pytest.raises(UserError, match=message):
        export_moving_shapes(DATA, model, tmp_path / "new", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_tasks_without_verb_and_noun_have_no_action(tmp_path: Path, model: ModelConfig) -> None:
    static = MovingShapesConfig(name="moving_shapes", task="static")
    with pytest.raises(UserError, match=r"Choose one of: noun$"):
        export_moving_shapes(static, model, tmp_path, **COUNTS, label="action")
