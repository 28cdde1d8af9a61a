"""Expands `vary` into points: the fields that each row sets, with the places in the file that set them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from pydantic import ValidationError

from harness.fields import path_of
from harness.sweep.reading.document import BLOCKS, KEYS, MAX_TRIALS, NAMED_BLOCKS, PLAIN_BLOCKS, assignment_order
from harness.sweep.reading.faults import FaultList, describe, field_faults, unknown_field
from harness.sweep.reading.node import Node
from harness.sweep.schema import VaryBlock

MODES = ("grid", "zip", "list")
Axis = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VaryPoint:
    """The settings of one row: path -> node, in the order in which they must be applied."""

    settings: dict[Axis, Node]
    label: Node | None = None


def expand(root: Node, num_seeds: int, faults: FaultList) -> list[VaryPoint]:
    """Returns the points of all blocks of `vary`, joined; a single empty point if nothing varies."""
    vary = root.child("vary")
    if vary is None or vary.value is None or vary.value == []:
        return [VaryPoint({})]
    if not isinstance(vary.value, list):
        faults.add(vary.mark, "vary", f"expected a list of blocks (- grid: ...), got {describe(vary.plain())}")
        return []
    points: list[VaryPoint] = []
    for index, block in enumerate(vary.value):
        mode = _mode(block, index, faults)
        size = _num_points(block.children[mode], mode) if mode else 0
        if (len(points) + size) * num_seeds > MAX_TRIALS:
            message = f"more than {MAX_TRIALS} trials with this block; vary fewer values"
            faults.add(block.mark, f"vary[{index}]", message)
        elif mode:
            points.extend(_points(block.children[mode], mode, f"vary[{index}].{mode}", faults))
    return points


def axes_of(points: Sequence[VaryPoint]) -> list[Axis]:
    """Returns the varied paths in the order of the file."""
    return list(dict.fromkeys(path for point in points for path in point.settings))


def check_overrides(root: Node, overridden: Sequence[Axis], points: Sequence[VaryPoint], faults: FaultList) -> None:
    """Adds a fault for every `--set` that an axis would overwrite."""
    for path in overridden:
        for axis in axes_of(points):
            renamed = axis[0] in NAMED_BLOCKS and axis == (path[0], "name")
            if path[: len(axis)] == axis or renamed:
                block = root.children[path[0]]
                mark = next((block.head for block in [_at(block, path[1:])] if block is not None), block.head)
                name, by = ".".join(path), ".".join(axis)
                way_out = "remove it from vary, or remove all axes with --set 'vary=[]'"
                faults.add(mark, name, f"vary sets {by} in its rows, so this would have no effect; {way_out}")


def _at(node: Node | None, path: Axis) -> Node | None:
    for part in path:
        node = node.child(part) if node is not None else None
    return node


def _mode(block: Node, index: int, faults: FaultList) -> str | None:
    """Returns the mode of a well-formed block; None, with a fault added, for any other block."""
    where = ("vary", index)
    if not block.is_mapping:
        faults.add(block.mark, f"vary[{index}]", f"expected one of {', '.join(MODES)} with values, got {_what(block)}")
        return None
    try:
        VaryBlock.model_validate(block.plain())
    except ValidationError as error:
        for fault in field_faults(error, block, where, "a block of vary", MODES):
            faults.add(*fault)
        return None
    given = [mode for mode in MODES if (child := block.child(mode)) is not None and child.value is not None]
    if len(given) == 1:
        return given[0]
    many = f"{' and '.join(given)} in one block; start a new block for each with '-'" if given else "nothing to vary"
    faults.add(block.mark, f"vary[{index}]", f"{many}. A block has exactly one of {', '.join(MODES)}")
    return None


def _what(node: Node) -> str:
    return describe(node.plain())


def _num_points(content: Node, mode: str) -> int:
    if mode == "grid":
        return math.prod(len(values.value) for values in content.children.values())
    return len(content.value) if mode == "list" else max((len(v.value) for v in content.children.values()), default=0)


def _points(content: Node, mode: str, where: str, faults: FaultList) -> Iterator[VaryPoint]:
    if not content.value:
        faults.add(content.mark, where, "nothing to vary; name a field and its values, or remove the block")
        return
    if mode == "list":
        for index, point in enumerate(content.value):
            yield _list_point(point, f"{where}[{index}]", faults)
        return
    named = {_axis(key, node, faults): node for key, node in content.children.items()}
    axes = {path: _leaves(node, path, faults) for path, node in named.items() if path}
    lengths = {len(leaves) for leaves in axes.values()}
    if mode == "zip" and len(lengths) > 1:
        counts = ", ".join(f"{'.'.join(path)} {len(leaves)}" for path, leaves in axes.items())
        faults.add(content.head, where, f"lists of different length ({counts}); zip needs lists of equal length")
        return
    ordered = sorted(axes, key=assignment_order)
    # a grid varies its last axis fastest, regardless of the order in which fields are set
    for values in product(*axes.values()) if mode == "grid" else zip(*axes.values(), strict=True):
        chosen = dict(zip(axes, values, strict=True))
        yield VaryPoint({path: chosen[path] for path in ordered})


def _leaves(node: Node, path: Axis, faults: FaultList) -> list[Node]:
    if not node.value:
        faults.add(node.mark, f"vary.{'.'.join(path)}", "an empty list; write at least one value")
    return [_leaf(value, node) for value in node.value]


def _leaf(value: Node, axis: Node) -> Node:
    return Node(value.value, value.mark, axis.key_mark, "vary.")


def _list_point(point: Node, where: str, faults: FaultList) -> VaryPoint:
    label = point.child("label")
    if label is not None and not (isinstance(label.value, str) and label.value.strip()):
        faults.add(label.mark, f"{where}.label", f"expected text, got {_what(label)}; put it in quotes")
    fields = {key: node for key, node in point.children.items() if key != "label"}
    axes = {path: _leaf(node, node) for key, node in fields.items() if (path := _axis(key, node, faults))}
    return VaryPoint({path: axes[path] for path in sorted(axes, key=assignment_order)}, label)


def _axis(key: str, node: Node, faults: FaultList) -> Axis | None:
    """Returns the path that a key of `vary` names; None, with a fault added, if that field cannot vary."""
    path = path_of(key)
    block = path[0]
    if block in ("seed", "seeds"):
        problem = "seeds cannot be an axis of vary; write them as the top-level key seeds"
    elif block == "launch":
        problem = "launch cannot vary: nothing in it changes a result"
    elif block not in BLOCKS:
        allowed = [name for name in BLOCKS if name != "launch"]
        problem = f"{block}: cannot vary; only fields of {', '.join(allowed)}"
        problem = problem if block in KEYS else unknown_field("a sweep", block, allowed)
    elif not all(path):
        problem = "a part of the path is empty; write block.field"
    elif len(path) == 1 and block in PLAIN_BLOCKS:
        problem = f"a whole block without a name cannot be an axis; vary its fields, such as {block}.FIELD"
    else:
        return path
    faults.add(node.head, f"vary.{key}", problem)
    return None
