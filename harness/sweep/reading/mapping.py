"""A sweep given as a dict -> the nodes that its YAML file would give, each with its place in the dict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.sweep.reading.faults import FaultList
from harness.sweep.reading.node import FieldPath, Mark, Node, dotted
from harness.sweep.reading.yaml import MAX_DEPTH, MAX_DIGITS, MAX_VALUES, UNPRINTABLE


class _TooLarge(Exception):
    """Reading cannot go on; the reason is in the fault list."""


def compose_mapping(content: Mapping[str, Any], faults: FaultList) -> Node | None:
    """The nodes of a sweep given as a dict, or None where it cannot be read (the fault list then says why).

    A mark names the place in the dict, such as `vary[0].grid`, where that of a file has a line. The rules are those of
    a YAML file: keys are text, numbers are finite, text holds no control characters.
    """
    try:
        return _DictComposer(faults).node(content, (), None)
    except _TooLarge:
        return None


class _DictComposer:
    """Turns values into nodes, None for a value with a fault of its own; `num_values` orders the faults."""

    def __init__(self, faults: FaultList):
        self.faults = faults
        self.num_values = 0

    def mark(self, path: FieldPath) -> Mark:
        return Mark("plan", self.num_values, 1, dotted(path) or "plan")

    def node(self, value: Any, path: FieldPath, key_mark: Mark | None) -> Node | None:
        self.num_values += 1
        mark = self.mark(path)
        if self.num_values > MAX_VALUES or len(path) > MAX_DEPTH:
            limit = f"nested deeper than {MAX_DEPTH} levels" if len(path) > MAX_DEPTH else f"over {MAX_VALUES} values"
            self.faults.add(mark, dotted(path[:3]), f"{limit}; no sweep needs that")
            raise _TooLarge
        if isinstance(value, Mapping):
            return Node(self.mapping(value, path), mark, key_mark)
        if isinstance(value, list | tuple):
            items = [self.node(item, (*path, index), None) for index, item in enumerate(value)]
            return None if None in items else Node(items, mark, key_mark)
        value = str(value) if isinstance(value, Path) else value
        if problem := _problem(value):
            self.faults.add(mark, dotted(path), problem)
            return None
        return Node(value, mark, key_mark)

    def mapping(self, value: Mapping[Any, Any], path: FieldPath) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key, child in value.items():
            if not isinstance(key, str) or not key:
                self.faults.add(self.mark(path), dotted(path), f"{key!r} as a key; a key is text and not empty")
                continue
            node = self.node(child, (*path, key), self.mark((*path, key)))
            entries |= {} if node is None else {key: node}
        self.faults.incomplete |= len(entries) < len(value)
        return entries


def _problem(value: Any) -> str:
    """What is wrong with a single value, "" if nothing."""
    if isinstance(value, str):
        bad = UNPRINTABLE.search(value)
        return f"character U+{ord(bad[0]):04X} is not allowed in text; remove it" if bad else ""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{value} is not allowed; write a finite number"
    if isinstance(value, int):
        return "" if abs(value) < 10**MAX_DIGITS else f"too large a number; at most {MAX_DIGITS} digits"
    return f"{type(value).__name__} is not allowed; write text, a number, true, false, null (None), a list or a dict"
