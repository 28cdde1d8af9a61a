"""Series of rows along one varied field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .row_statistics import RowSummary


@dataclass(frozen=True)
class AxisSeries:
    """Rows that are equal in every varied field but one, ordered along that one. A control row is its own series."""

    name: str
    rows: tuple[RowSummary, ...]


def value_text(value: Any) -> str:
    """Write the value of a field: {'name': 'mixing', 'temporal_window': 1} -> 'mixing, temporal_window = 1'."""
    if isinstance(value, dict):
        rest = [f"{key} = {value_text(item)}" for key, item in value.items() if key != "name"]
        return ", ".join([*([str(value["name"])] if "name" in value else []), *rest])
    return value if isinstance(value, str) else json.dumps(value)


def series_of(rows: Sequence[RowSummary], axes: Sequence[str], axis: str) -> list[AxisSeries]:
    """Group the rows that have `axis` into series, in the order of the plan."""
    others = [name for name in axes if name != axis]
    groups: dict[str, list[RowSummary]] = {}
    for row in rows:
        if axis in row.plan.values:
            groups.setdefault(_key({name: row.plan.values.get(name) for name in others}), []).append(row)
    distinguishing = [
        name for name in others if len({_key(group[0].plan.values.get(name)) for group in groups.values()}) > 1
    ]
    places = {_key(value): index for index, value in enumerate(axis_values(rows, axis))}
    return [
        AxisSeries(
            _name(group, distinguishing), tuple(sorted(group, key=lambda row: places[_key(row.plan.values[axis])]))
        )
        for group in groups.values()
    ]


def axis_values(rows: Sequence[RowSummary], axis: str) -> list[Any]:
    """Return the distinct values of a varied field: numbers by size, anything else in the order of the plan."""
    found = {_key(row.plan.values[axis]): row.plan.values[axis] for row in rows if axis in row.plan.values}
    values = list(found.values())
    return sorted(values) if is_numeric(values) else values


def is_numeric(values: Sequence[Any]) -> bool:
    """Return whether all values are numbers (booleans are not)."""
    return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def position(values: Sequence[Any], row: RowSummary, axis: str) -> int:
    """Return the index of the row's value of `axis` among `values`."""
    return [_key(value) for value in values].index(_key(row.plan.values[axis]))


def _name(group: Sequence[RowSummary], fields: Sequence[str]) -> str:
    if len(group) == 1:
        return group[0].label
    values = group[0].plan.values
    return ", ".join(f"{name.split('.')[-1]} = {value_text(values[name])}" for name in fields if name in values)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
