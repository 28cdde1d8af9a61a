"""Planning names the labels that the data has and that evaluation scores."""

from __future__ import annotations

import pytest

from harness.data import ceilings, open_split, scored_labels
from harness.data.scenes import TASKS
from harness.data.sets.moving_shapes import MovingShapesConfig
from harness.data.sets.random import RandomConfig
from harness.nn.config import ModelConfig


@pytest.mark.parametrize("task", TASKS)
def test_moving_shapes(task: str) -> None:
    data = MovingShapesConfig.model_validate({"name": "moving_shapes", "task": task})
    assert set(scored_labels(data.model_dump())) == {*ceilings(data)["chance"]}
    assert set(scored_labels(data)) - {"action"} == {*TASKS[task].classes}


def test_lists_and_noise() -> None:
    data = RandomConfig(name="random", num_classes=7)
    source = open_split(data, ModelConfig(num_frames=3, crop_size=20), "val", seed=0)
    assert scored_labels(data.model_dump()) == tuple(source.labels)
    lists = {f"{split}_list": "none.csv" for split in ("train", "val", "test")}
    assert scored_labels({"name": "video_list", **lists}) == ("class",)  # known without reading a list
