"""The labels that planning names are those that the data has and evaluation scores."""

from __future__ import annotations

import pytest

from harness.data import ceilings, open_split
from harness.data.lists import LABEL
from harness.data.scenes import TASKS
from harness.nn.config import ModelConfig
from harness.sweep.labels import OF_TASK, scored_labels
from harness.sweep.schema import MovingShapesConfig, RandomConfig


@pytest.mark.parametrize("task", TASKS)
def test_moving_shapes(task: str) -> None:
    data = MovingShapesConfig.model_validate({"name": "moving_shapes", "task": task})
    assert set(scored_labels(data.model_dump())) == {*ceilings(data)["chance"]}
    assert set(OF_TASK[task]) - {"action"} == {*TASKS[task].classes}


def test_lists_and_noise() -> None:
    data = RandomConfig(name="random", num_classes=7)
    source = open_split(data, ModelConfig(num_frames=3, crop_size=20), "val", seed=0)
    assert scored_labels(data.model_dump()) == tuple(source.labels)
    assert scored_labels({"name": "video_list"}) == (LABEL,)
