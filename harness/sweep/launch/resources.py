"""Resolves `launch.overrides` for each trial and checks them against the trials of the sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import did_you_mean
from harness.fields import ABSENT, get_field, has_value, matches
from harness.sweep.launch.config import LaunchConfig, ResourceOverride, Resources, minutes
from harness.sweep.reading.faults import FaultList, describe
from harness.sweep.reading.node import FieldPath, Node, dotted, nearest


def resources_of(launch: LaunchConfig, config: Mapping[str, Any]) -> Resources:
    """Returns the resources of a trial: the block's own fields, then each override that matches its configuration."""
    chosen = {name: getattr(launch, name) for name in Resources.model_fields}
    for override in launch.overrides:
        if matches(config, override.where):
            chosen |= override.model_dump(include=override.model_fields_set - {"where"})
    return Resources(**chosen)


def check_resources(launch: LaunchConfig, node: Node, configs: Sequence[Mapping[str, Any]], faults: FaultList) -> None:
    """Adds faults for overrides without a matching trial, and for CPUs, nodes or time that do not suit the trials."""
    for index, override in enumerate(launch.overrides):
        for field, wanted in override.where.items():
            _check_condition(field, wanted, node, ("overrides", index, "where", field), configs, faults)
    _check_nodes(launch, node, configs, faults)
    for threads in {_num_threads(config, launch) for config in configs}:
        for place, part in _parts(launch):
            if part.cpus is not None and part.cpus < threads and _concerns(part, threads, launch, configs):
                needs = f"trials with {threads} threads (train.num_threads times num_processes)"
                message = f"{part.cpus} CPUs for {needs}; at least {threads}"
                faults.add(nearest(node, (*place, "cpus"))[0].mark, dotted(("launch", *place, "cpus")), message)
    for place, part in _parts(launch):
        if part.time is not None and 60 * minutes(part.time) <= launch.signal_delay_s:
            message = f"not longer than launch.signal_delay_s={launch.signal_delay_s} s, so no time is left; raise it"
            faults.add(nearest(node, (*place, "time"))[0].mark, dotted(("launch", *place, "time")), message)


def _check_nodes(launch: LaunchConfig, node: Node, configs: Sequence[Mapping[str, Any]], faults: FaultList) -> None:
    """Adds faults for nodes over which processes cannot be spread evenly, or that several trials would share."""
    found: set[tuple[FieldPath, str]] = set()
    for config in configs:
        asked, processes = resources_of(launch, config), config["train"]["num_processes"]
        nodes, place = asked.nodes or 1, _place_of("nodes", launch, config)
        if processes % nodes:
            found.add(
                (place, f"train.num_processes: {processes} cannot be spread evenly over {nodes} nodes; write a divisor")
            )
        if nodes > 1 and (asked.pack or 1) > 1:
            found.add(
                (place, f"a job on {nodes} nodes holds one trial, but launch.pack is {asked.pack}; write pack: 1")
            )
    for place, message in sorted(found, key=str):
        faults.add(nearest(node, place)[0].mark, dotted(("launch", *place)), message)


def _place_of(name: str, launch: LaunchConfig, config: Mapping[str, Any]) -> FieldPath:
    """Returns the place in the block that sets a resource of a trial."""
    places = [
        (*place, name)
        for place, part in _parts(launch)
        if name in part.model_fields_set and (not isinstance(part, ResourceOverride) or matches(config, part.where))
    ]
    return places[-1] if places else (name,)


def _num_threads(config: Mapping[str, Any], launch: LaunchConfig) -> int:
    """Returns the number of threads of a trial on each of its nodes."""
    nodes = resources_of(launch, config).nodes or 1
    return int(config["train"]["num_threads"] * config["train"]["num_processes"]) // nodes


def _parts(launch: LaunchConfig) -> list[tuple[FieldPath, Resources]]:
    """Returns the block itself and its overrides, each with its place in the block."""
    return [((), launch), *((("overrides", index), part) for index, part in enumerate(launch.overrides))]


def _concerns(part: Resources, threads: int, launch: LaunchConfig, configs: Sequence[Mapping[str, Any]]) -> bool:
    """Returns True if a trial with that many threads takes its CPUs from this part."""
    where = part.where if isinstance(part, ResourceOverride) else {}
    return any(_num_threads(config, launch) == threads and matches(config, where) for config in configs)


def _check_condition(
    field: str,
    wanted: Any,
    node: Node,
    path: FieldPath,
    configs: Sequence[Mapping[str, Any]],
    faults: FaultList,
) -> None:
    found = [value for config in configs if (value := get_field(config, field)) is not ABSENT]
    if any(has_value(value, wanted) for value in found):
        return
    name = f"launch.overrides[{path[1]}].where.{field}"
    place = nearest(node, path)[0]
    if not found:
        fields = sorted({f"{block}.{key}" for config in configs for block, key in _fields(config)} | {"seed"})
        faults.add(place.head, name, f"no trial has such a field.{did_you_mean(field, fields)}")
        return
    seen = list(dict.fromkeys(_shown(value) for value in found))
    more = ", ..." if len(seen) > 10 else ""
    message = f"no trial has {describe(wanted)} here; trials have {', '.join(seen[:10])}{more}"
    faults.add(place.mark, name, message)


def _fields(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(block, key) for block, fields in config.items() if isinstance(fields, Mapping) for key in fields]


def _shown(value: Any) -> str:
    return str(value["name"]) if isinstance(value, Mapping) and "name" in value else str(value)
