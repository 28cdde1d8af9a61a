"""Label names of a data set, read from its configuration; planning opens no data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: data with the labels verb and noun is also scored on their pair, `action`
OF_TASK: dict[str, tuple[str, ...]] = {
    "motion": ("action", "noun", "verb"),
    "order": ("order",),
    "cyclic": ("cycle",),
    "delay": ("answer",),
    "static": ("noun",),
}
OF_DATA: dict[str, tuple[str, ...]] = {"video_list": ("class",), "random": ("label",)}


def scored_labels(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the labels whose accuracy a record of this data holds; `data` is a checked block of a sweep."""
    return OF_DATA[data["name"]] if data["name"] in OF_DATA else OF_TASK[data["task"]]
