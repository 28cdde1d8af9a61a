"""Parses YAML text into nodes with line and column.

Supports a small subset of YAML 1.2: mappings with text keys, lists, and scalars of the core schema (`true`, `null`,
`3`, `1e-3`; everything else, including `no` and `16:40`, is text). Rejects anchors, aliases, tags, merge keys,
directives, a second document and repeated keys. PyYAML only splits the text into events; this module resolves types.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from harness.sweep.reading.faults import FaultList, describe
from harness.sweep.reading.node import FieldPath, Mark, Node, dotted

MAX_DEPTH = 20
MAX_VALUES = 50_000
MAX_KEYS = 1_000
MAX_DIGITS = 18

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


_DROPPED = object()  # replaces a faulty value, so that it causes no second fault


class _Stop(Exception):
    """Parsing cannot continue; the fault list has the reason."""


def compose_text(text: str, file: str, faults: FaultList, offset: int = 0, path: FieldPath = ()) -> Node | None:
    """Returns the nodes of one YAML document; None if it is empty, or invalid (a fault is then added).

    `offset` columns precede the text on its first line; `path` is the location of its root in messages. The text must
    not contain tabs or control characters (`harness.sweep.reading.text` rejects them).
    """
    composer = _Composer(text, file, faults, offset)
    try:
        root = composer.document(path)
        return None if root is None or root.value is _DROPPED else root
    except _Stop:
        return None
    except yaml.MarkedYAMLError as error:
        problem = error.problem or error.context or "not YAML"
        problem = problem.replace("'<stream end>'", "the end").replace("'\\x00'", "the end")
        faults.add(composer.mark(error.problem_mark or error.context_mark), dotted(path), f"not valid YAML: {problem}")
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # in PyYAML, int() and chr() fail on very long version numbers and escapes like "\UFFFFFFFF"
        faults.add(composer.last, dotted(path), f"not valid YAML near here: {error}")
    return None


class _Composer:
    """Builds nodes from the events of PyYAML."""

    def __init__(self, text: str, file: str, faults: FaultList, offset: int):
        self.file, self.faults, self.offset = file, faults, offset
        self.events: Iterator[Event] = yaml.parse(text, yaml.SafeLoader)
        self.last = Mark(file, 1, 1 + offset)
        self.num_values = 0

    def mark(self, mark: Any) -> Mark:
        """Converts a mark of PyYAML."""
        if mark is None:
            return self.last
        return Mark(self.file, mark.line + 1, mark.column + 1 + (self.offset if mark.line == 0 else 0))

    def next(self) -> Event:
        """Returns the next event and stores its place in `last`."""
        event = next(self.events)
        self.last = self.mark(event.start_mark)
        return event

    def document(self, path: FieldPath) -> Node | None:
        """Parses the only document of the text; returns None if it is empty."""
        self.next()
        start = self.next()
        if not isinstance(start, DocumentStartEvent):
            return None
        if start.version or start.tags:
            self.faults.add(self.last, dotted(path), "directives (%YAML, %TAG) are not allowed; remove the line")
        node = self.node(self.next(), path, 0)
        self.next()
        if isinstance(self.next(), DocumentStartEvent):
            self.faults.add(self.last, dotted(path), "a second document; a file has only one, remove it")
        return node

    def node(self, event: Event, path: FieldPath, depth: int) -> Node:
        """Parses the value that starts with an event."""
        mark = self.last
        self.num_values += 1
        if self.num_values > MAX_VALUES or depth > MAX_DEPTH:
            limit = f"nested deeper than {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"more than {MAX_VALUES} values"
            self.faults.add(mark, dotted(path[:3]), f"{limit}; simplify the file")
            raise _Stop
        sound = self.refuse_extras(event, mark, path)
        value: Any = _DROPPED
        if isinstance(event, MappingStartEvent):
            value = self.mapping(path, depth)
        elif isinstance(event, CollectionStartEvent):
            value = self.sequence(path, depth)
        elif isinstance(event, ScalarEvent):
            value = self.scalar(event, mark, path)
        return Node(value if sound else _DROPPED, mark)

    def refuse_extras(self, event: Any, mark: Mark, path: FieldPath) -> bool:
        """Adds a fault for an alias, an anchor or a tag; returns False if it changes the value (alias, tag)."""
        if isinstance(event, AliasEvent):
            self.faults.add(mark, dotted(path), f"alias *{event.anchor}: aliases are not allowed; repeat the value")
            return False
        if event.anchor is not None:
            self.faults.add(mark, dotted(path), f"anchor &{event.anchor}: anchors are not allowed; remove it")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self.faults.add(mark, dotted(path), f"tag {tag!r}: tags are not allowed; remove it")
        return tag is None

    def sequence(self, path: FieldPath, depth: int) -> Any:
        """Parses the items of a list up to its end."""
        items: list[Node] = []
        while not isinstance(event := self.next(), SequenceEndEvent):
            items.append(self.node(event, (*path, len(items)), depth + 1))
        return _DROPPED if any(item.value is _DROPPED for item in items) else items

    def mapping(self, path: FieldPath, depth: int) -> dict[str, Node]:
        """Parses the entries of a mapping up to its end; skips faulty ones."""
        entries: dict[str, Node] = {}
        while isinstance(event := self.next(), CollectionStartEvent | ScalarEvent | AliasEvent):
            mark = self.last
            key = self.key(event, mark, path, depth)
            value = self.node(self.next(), (*path, key), depth + 1)
            if key and key in entries:
                first = entries[key].head.line
                self.faults.add(mark, dotted((*path, key)), f"repeated key; first given in line {first}. Keep one")
                continue
            if len(entries) == MAX_KEYS:
                self.faults.add(mark, dotted(path), f"more than {MAX_KEYS} keys in one mapping; remove some")
                raise _Stop
            entries[key] = Node(value.value, value.mark, mark)
        sound = {key: node for key, node in entries.items() if key and node.value is not _DROPPED}
        self.faults.incomplete |= len(sound) < len(entries)
        return sound

    def key(self, event: Event, mark: Mark, path: FieldPath, depth: int) -> str:
        """Parses a key; returns "", with a fault added, if it is not allowed."""
        node = self.node(event, path, depth + 1)
        if isinstance(node.value, str):
            if node.value == "<<":
                self.faults.add(mark, dotted((*path, "<<")), "merge keys are not allowed; write the fields out")
            elif not node.value:
                self.faults.add(mark, dotted(path), "an empty key; write the name of a field")
            return "" if node.value == "<<" else node.value
        if not isinstance(event, AliasEvent) and node.value is not _DROPPED:
            self.faults.add(mark, dotted(path), f"{describe(node.value)} as a key; a key must be text")
        return ""

    def scalar(self, event: ScalarEvent, mark: Mark, path: FieldPath) -> Any:
        """Converts a scalar to None, a bool, a number or text."""
        text = event.value
        if bad := UNPRINTABLE.search(text):
            self.faults.add(mark, dotted(path), f"character U+{ord(bad[0]):04X} is not allowed in text; remove it")
            return _DROPPED
        if event.style is not None:
            return text
        if _NOT_FINITE.fullmatch(text):
            self.faults.add(mark, dotted(path), f"{text} is not allowed; write a finite number")
            return _DROPPED
        return self.number(text, mark, path) if _FLOAT.fullmatch(text) else _word(text)

    def number(self, text: str, mark: Mark, path: FieldPath) -> Any:
        """Converts text to a number; adds a fault if it is too large."""
        whole = _INT.fullmatch(text) is not None
        too_large = len(text.lstrip("+-")) > MAX_DIGITS if whole else not math.isfinite(float(text))
        if too_large:
            self.faults.add(mark, dotted(path), f"{text[:30]} is too large a number; at most {MAX_DIGITS} digits")
            return _DROPPED
        return int(text) if whole else float(text)


def _word(text: str) -> Any:
    if _NULL.fullmatch(text):
        return None
    return _BOOLS.get(text, text)
