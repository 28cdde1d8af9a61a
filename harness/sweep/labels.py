"""Names of the labels that a data set has, from its configuration alone: data is opened when trials run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: a data set with verb and noun is scored on their pair too
OF_TASK: dict[str, tuple[str, ...]] = {
    "motion": ("action", "noun", "verb"),
    "order": ("order",),
    "cyclic": ("cycle",),
    "delay": ("answer",),
    "static": ("noun",),
}
OF_DATA: dict[str, tuple[str, ...]] = {"video_list": ("class",), "random": ("label",)}


def scored_labels(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Labels whose accuracy a record of this data has; `data` is a checked block of a sweep."""
    return OF_DATA[data["name"]] if data["name"] in OF_DATA else OF_TASK[data["task"]]
