"""Resolves the names that `launch.where` may have: built-in launchers, and entry points of outside packages."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from harness.errors import UserError, did_you_mean
from harness.sweep.launch.config import LaunchConfig
from harness.sweep.reading.faults import FaultList, field_faults, unknown_name
from harness.sweep.reading.node import Node, nearest

ENTRY_POINT_GROUP = "harness.launchers"
LOCAL = "local"
#: name -> class; these have no options, their fields stand in `launch` itself
BUILT_IN = {LOCAL: "harness.launch.local.launcher:Local", "slurm": "harness.launch.slurm.launcher:Slurm"}


@cache
def _outside() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP) if point.name not in BUILT_IN}


def launcher_names() -> list[str]:
    """Returns the names of all launchers, the built-in ones first; imports none of them."""
    return [*BUILT_IN, *sorted(_outside())]


def load(name: str) -> Any:
    """Returns the class of a launcher.

    Raises:
        UserError: the class of an outside package cannot be imported.
    """
    if name in BUILT_IN:
        return EntryPoint(name, BUILT_IN[name], ENTRY_POINT_GROUP).load()
    point = _outside()[name]
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # an import of an outside package may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"launcher {name}: {point.value} cannot be loaded ({reason}). Install it again.") from error


def check_launcher(launch: LaunchConfig, node: Node, faults: FaultList) -> None:
    """Adds faults for an unknown launcher, and for unknown or invalid options of the one that is used.

    Options of other launchers are ignored, installed here or not: one file serves several machines.
    """
    names = launcher_names()
    if launch.where not in names:
        place, _, via = nearest(node, ("where",))
        faults.add(place.mark, f"{via}launch.where", unknown_name(launch.where, names))
    for name, fields in launch.options.items():
        place, path = nearest(node, ("options", name))[0], f"launch.options.{name}"
        if name not in names and did_you_mean(name, [launch.where]):
            faults.add(place.head, path, unknown_name(name, names))
        elif name in BUILT_IN and fields:
            faults.add(place.head, path, f"{name} has no options; its fields stand in launch itself")
    if launch.where in names and launch.where not in BUILT_IN:
        _check_options(launch.where, launch.options.get(launch.where, {}), node, faults)


def _check_options(name: str, fields: dict[str, Any], node: Node, faults: FaultList) -> None:
    """Adds faults for errors in the options of the outside launcher that is used."""
    place = nearest(node, ("options", name))[0]
    try:
        options = load(name).Options
        options.model_validate(fields)
    except UserError as error:
        faults.absorb(error, nearest(node, ("where",))[0].mark, "launch.where")
    except ValidationError as error:
        for fault in field_faults(error, place, ("launch", "options", name), name, list(options.model_fields)):
            faults.add(*fault)
