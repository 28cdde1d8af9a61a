"""Checks `baseline` in a sweep whose rows have faults, so that all mistakes of a file are reported together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.errors import did_you_mean
from harness.fields import ABSENT, has_value, path_of
from harness.sweep.blocks import NAMED_MODELS, PLAIN_MODELS
from harness.sweep.expand import Axis, VaryPoint
from harness.sweep.reading.document import BLOCKS, NAMED_BLOCKS, as_mapping
from harness.sweep.reading.faults import FaultList, describe
from harness.sweep.reading.node import Node, nearest
from harness.sweep.rows import shown


def check_baseline(root: Node, points: Sequence[VaryPoint], faults: FaultList) -> None:
    """Adds a fault for every value of `baseline` that no row can have, by what the file says explicitly.

    Rows with faults have no configuration yet, so nothing is concluded from defaults.
    """
    node = root.child("baseline")
    for key, wanted in node.children.items() if node is not None and points else ():
        if key == "label":
            seen = [ABSENT if point.label is None else point.label.plain() for point in points]
        elif not _may_exist(path_of(key)):
            faults.add(wanted.head, f"baseline.{key}", f"no row has such a field.{did_you_mean(key, [*_fields()])}")
            continue
        else:
            seen = [_value(root, point, path_of(key)) for point in points]
        if any(value is ABSENT or has_value(value, _name_of(wanted)) for value in seen):
            continue
        is_name = key.removesuffix(".name") in NAMED_BLOCKS
        known = list(dict.fromkeys(str(value) if is_name else shown(value) for value in seen))[:10]
        faults.add(
            wanted.mark, f"baseline.{key}", f"no row has {describe(wanted.plain())} here; rows have {', '.join(known)}"
        )


def _fields() -> Iterator[str]:
    models = {block: [model] for block, model in PLAIN_MODELS.items() if block != "launch"}
    models |= {block: [*named.values()] for block, named in NAMED_MODELS.items()}
    yield from ("label", *NAMED_BLOCKS)
    for block, found in models.items():
        yield from (f"{block}.{field}" for model in found for field in model.model_fields)


def _may_exist(path: Axis) -> bool:
    """Returns whether a row could have this field; what a variant has is not known here."""
    return path[0] in BLOCKS and (path[0] == "variant" or len(path) > 2 or ".".join(path) in {*_fields()})


def _value(root: Node, point: VaryPoint, path: Axis) -> Any:
    """The value that the file gives a row explicitly; ABSENT where it gives none."""
    whole = path[0] in NAMED_BLOCKS and path[1:] in ((), ("name",))
    names = [path[:1], (path[0], "name")] if whole else [path]
    for name in names:
        if name in point.settings:
            return _name_of(point.settings[name])
    if any(setting[0] == path[0] and setting[1:] in ((), ("name",)) for setting in point.settings):
        return ABSENT  # another block than that of the file
    block = root.child(path[0])
    if block is None:
        return ABSENT
    inner = path[1:] or ("name",)
    node, depth, _ = nearest(as_mapping(block), inner)
    return node.plain() if depth == len(inner) else ABSENT


def _name_of(node: Node) -> Any:
    """The value; of a block its name alone, since its other fields may have defaults. ABSENT without one."""
    value = node.plain()
    return value.get("name", ABSENT) if isinstance(value, dict) else value
