"""Data sets, one per file: the name of the file is the name of the data set.

A file defines one subclass of `harness.data.data_set.DataSet`; no other file has to know it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache, reduce
from operator import or_
from types import ModuleType
from typing import Annotated, Any, get_args

from pydantic import Field

from harness.data.data_set import DataSet
from harness.errors import UserError
from harness.registry.classes import only_subclass


@cache
def data_sets() -> dict[str, type[DataSet]]:
    """Imports the files of this folder: name -> data set, sorted by name.

    Raises:
        UserError: a file does not define exactly one data set that has the file's name.
    """
    names = sorted(info.name for info in pkgutil.iter_modules(__path__))
    return {name: _data_set_of(importlib.import_module(f"{__name__}.{name}"), name) for name in names}


def config_union() -> Any:
    """Returns the type of the `data:` block: the union of all data sets' configurations, chosen by `name`."""
    configs = [found.Config for found in data_sets().values()]
    return Annotated[reduce(or_, configs), Field(discriminator="name")]


def _data_set_of(module: ModuleType, name: str) -> type[DataSet]:
    found = only_subclass(module, DataSet, "data set")  # type: ignore[type-abstract]
    declared = get_args(found.Config.model_fields["name"].annotation)
    if declared != (name,):
        owner = found.Config.__name__
        raise UserError(f'{module.__file__}: {owner}.name must be Literal["{name}"], the name of the file')
    return found
