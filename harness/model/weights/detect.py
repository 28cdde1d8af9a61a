"""The layouts we know, and which of them a file is in."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from harness.errors import UserError
from harness.model.weights import (
    hf_timesformer,
    hf_videomae,
    hf_vivit,
    motionformer,
    timesformer,
    timm_vit,
    vit_npz,
    xvit,
)
from harness.model.weights.layout import WeightsLayout, some

_MODULES = (timm_vit, vit_npz, xvit, timesformer, motionformer, hf_timesformer, hf_vivit, hf_videomae)
LAYOUTS: dict[str, WeightsLayout] = {module.LAYOUT.name: module.LAYOUT for module in _MODULES}


def detect(state: Mapping[str, Tensor], file: str) -> WeightsLayout:
    """The layout that a file's keys show. Raises: UserError where it is none or not clear."""
    fitting = [layout for layout in LAYOUTS.values() if layout.fits(list(state))]
    if len(fitting) == 1:
        return fitting[0]
    known = "; ".join(f"{layout.name}: {layout.summary}" for layout in LAYOUTS.values())
    if fitting:
        names = ", ".join(layout.name for layout in fitting)
        raise UserError(f"{file}: its keys fit {names}; say which with weights.layout")
    raise UserError(f"{file}: its keys ({some(list(state))}) are of no layout that we know: {known}")
