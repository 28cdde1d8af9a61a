"""Describes rows for tables: the varied fields, their values, a label for each row, the baseline row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import did_you_mean
from harness.fields import ABSENT, get_field, has_value
from harness.sweep.expand import Axis
from harness.sweep.identity import canonical_json
from harness.sweep.reading.document import NAMED_BLOCKS, OPTIONAL_BLOCKS
from harness.sweep.reading.faults import FaultList, describe
from harness.sweep.reading.node import Node
from harness.sweep.resolve import Row

Blocks = Mapping[str, Mapping[str, Any] | None]


def value_at(blocks: Blocks, path: Axis) -> Any:
    """Returns the value at a varied path: the name or file of a whole block, None for a missing field."""
    whole = "file" if path[0] in OPTIONAL_BLOCKS else "name"
    return get_field(blocks, path if len(path) > 1 else (*path, whole), None)


def distinguishing_axes(rows: Sequence[Row], axes: Sequence[Axis]) -> list[Axis]:
    """Returns the varied paths, followed by other fields that distinguish rows with equal values at those paths."""
    found = list(axes)
    for group in _groups(rows, found):
        for block in group[0].blocks:
            fields = [row.blocks[block] or {} for row in group]
            for field in dict.fromkeys(field for of_row in fields for field in of_row):
                values = {canonical_json(of_row.get(field)) for of_row in fields}
                if len(values) > 1 and (block, field) not in found:
                    found.append((block, field))
    return found


def _groups(rows: Sequence[Row], axes: Sequence[Axis]) -> list[list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(canonical_json([value_at(row.blocks, path) for path in axes]), []).append(row)
    return [group for group in groups.values() if len(group) > 1]


def values_of(row: Row, axes: Sequence[Axis]) -> dict[str, Any]:
    """Returns varied path (dotted) -> value in this row."""
    return {".".join(path): value_at(row.blocks, path) for path in axes}


def auto_labels(values: Sequence[Mapping[str, Any]], labelled: Sequence[bool]) -> list[str]:
    """Returns a label for each row, made of the varied fields that differ: 'joint, temporal_window = 1'.

    A label leaves out fields that the row's variant does not have. Rows that the file labels (`labelled`) are ignored
    when differing fields are collected, unless the other rows differ in nothing.
    """
    unlabelled = [row for row, has_label in zip(values, labelled, strict=True) if not has_label]
    names = _differing(unlabelled) or _differing(values)
    names.sort(key=lambda name: not _is_name(name))
    short = {name: _short(name, names) for name in names}
    parts = [[_part(short[name], row[name]) for name in names] for row in values]
    return [", ".join(filter(None, texts)) or "base" for texts in parts]


def _differing(values: Sequence[Mapping[str, Any]]) -> list[str]:
    names = list(values[0]) if values else []
    return [name for name in names if len({canonical_json(row[name]) for row in values}) > 1]


def _is_name(name: str) -> bool:
    """Returns True if a varied path is the name of a block; its value then needs no field name in a label."""
    return name.removesuffix(".name") in NAMED_BLOCKS


def _short(name: str, names: Sequence[str]) -> str:
    """Returns the last part of a dotted name, or the whole name if another varied field has the same last part."""
    if _is_name(name):
        return ""
    last = name.split(".")[-1]
    return name if sum(other.split(".")[-1] == last for other in names) > 1 else last


def _part(short: str, value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else canonical_json(value).replace(",", ", ")
    return f"{short} = {text}" if short else text


def find_baseline(
    node: Node | None, rows: Mapping[str, Row], labels: Mapping[str, str], base: Row | None, faults: FaultList
) -> str | None:
    """Returns the row_id of the row with the baseline's values; None, with a fault added, if no single row has them.

    If several rows match, the baseline is the row that equals `base`: the base configuration with the baseline's
    values set (None if that configuration has faults).
    """
    if node is None or not node.is_mapping:
        return None
    matching = list(rows)
    for key, wanted in node.children.items():
        values = {name: labels[name] if key == "label" else get_field(rows[name].blocks, key) for name in rows}
        present = {name: value for name, value in values.items() if value is not ABSENT}
        left = [name for name in matching if name in present and has_value(present[name], wanted.plain())]
        if not left:
            faults.add(wanted.mark if present else wanted.head, f"baseline.{key}", _no_row(key, wanted, present, rows))
            return None
        matching = left
    if len(matching) > 1 and base is not None and base.row_id in matching:
        return base.row_id
    if len(matching) > 1:
        some = "; ".join(labels[name] for name in matching[:5]) + ("; ..." if len(matching) > 5 else "")
        message = f"{len(matching)} rows have these values ({some}); name more fields, or a label"
        faults.add(node.head, "baseline", message)
        return None
    return matching[0]


def _no_row(key: str, wanted: Node, present: Mapping[str, Any], rows: Mapping[str, Row]) -> str:
    if not present:
        filled = [item for row in rows.values() for item in row.blocks.items()]
        fields = {f"{block}.{field}" for block, of_block in filled for field in of_block or ()}
        return f"no row has such a field.{did_you_mean(key, sorted(fields | {'label'}))}"
    seen = list(dict.fromkeys(shown(value) for value in present.values()))
    more = ", ..." if len(seen) > 10 else ""
    return f"no row has {describe(wanted.plain())} here and the values above; rows have {', '.join(seen[:10])}{more}"


def shown(value: Any) -> str:
    """Returns a value for a message: the name of a block, else JSON."""
    return str(value["name"]) if isinstance(value, Mapping) and "name" in value else canonical_json(value)
