"""One metric per file: `measure(model, trial, labels)` in `NAME.py` here fills the field NAME of `record.Costs`.

A file that exists is run, once per trial, in the measuring stage, after memory and time. `measure` returns the number
in the unit of its name, or None where it cannot be measured. The model is that of the trial, on the trial's device; a
metric may change it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.record import Costs

if TYPE_CHECKING:
    from torch import nn

    from harness.sweep.schema import TrialConfig


def names() -> list[str]:
    """Return the names of all metrics, sorted."""
    return sorted(info.name for info in pkgutil.iter_modules(__path__))


def measure_metrics(costs: Costs, model: nn.Module, trial: TrialConfig, labels: Mapping[str, int]) -> None:
    """Fill the field of every metric. `labels`: name -> number of classes. Raises: ValueError for a missing field."""
    for name in names():
        module = importlib.import_module(f"{__name__}.{name}")
        setattr(costs, name, module.measure(model, trial, labels))
