"""Finds the checkpoint layouts, one per file, and detects the layout of a checkpoint."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from torch import Tensor

from harness.errors import UserError
from harness.model.weights import layouts
from harness.model.weights.layout import WeightsLayout, some


def _found() -> dict[str, WeightsLayout]:
    names = sorted(info.name for info in pkgutil.iter_modules(layouts.__path__))
    return {name: importlib.import_module(f"{layouts.__name__}.{name}").LAYOUT for name in names}


LAYOUTS = _found()


def detect(state: Mapping[str, Tensor], file: str) -> WeightsLayout:
    """Return the layout that fits the keys of a file. Raises: UserError if none fits, or several do."""
    fitting = [layout for layout in LAYOUTS.values() if layout.fits(list(state))]
    if len(fitting) == 1:
        return fitting[0]
    known = "; ".join(f"{layout.name}: {layout.summary}" for layout in LAYOUTS.values())
    if fitting:
        names = ", ".join(layout.name for layout in fitting)
        raise UserError(f"{file}: its keys fit {names}; choose one with weights.layout")
    raise UserError(f"{file}: its keys ({some(list(state))}) fit no known layout. Layouts: {known}")
