"""Represents values of a sweep file together with their places in the file.

Reading, merging and varying all work on these nodes. A fault found in a resolved trial can therefore name the line and
column that caused it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True, order=True, slots=True)
class Mark:
    """A place in a file (or in a command-line argument); line and column count from 1.

    `place` names a place that has no line, such as a value of a dict; then line and column only order the faults. The
    same holds where `file` is an option.
    """

    file: str
    line: int
    column: int
    place: str = ""

    def __str__(self) -> str:
        return self.place or (self.file if self.file.startswith("--") else f"{self.file}:{self.line}:{self.column}")


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A scalar, a list of nodes or a mapping of nodes. Nodes compare by identity.

    `mark` is the start of the value, `key_mark` the start of its key. `via` is "vary." for a value that an axis set,
    so that messages name the axis.
    """

    value: Any
    mark: Mark
    key_mark: Mark | None = None
    via: str = ""

    @property
    def is_mapping(self) -> bool:
        """True if the value is a mapping."""
        return isinstance(self.value, dict)

    @property
    def head(self) -> Mark:
        """The start of the key, or of the value if it has no key."""
        return self.key_mark or self.mark

    @property
    def children(self) -> dict[str, Node]:
        """The entries of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    def plain(self) -> Any:
        """Returns the value as plain dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, part: str | int) -> Node | None:
        """Returns the entry at a key or an index, or None."""
        if isinstance(self.value, dict) and isinstance(part, str):
            return self.children.get(part)
        items: list[Node] = self.value if isinstance(self.value, list) else []
        return items[part] if isinstance(part, int) and 0 <= part < len(items) else None

    def holding(self, value: Any) -> Node:
        """Returns a node at the same place with another value."""
        return replace(self, value=value)

    def put(self, path: Sequence[str], leaf: Node) -> Node:
        """Returns a copy with `leaf` at `path`; creates missing mappings along the path.

        Raises:
            TypeError: a node along the path is neither a mapping nor null.
        """
        if not path:
            return leaf
        if self.value is not None and not self.is_mapping:
            raise TypeError("only a mapping has fields")
        first, *rest = path
        below = self.children.get(first) or Node(None, leaf.mark, leaf.key_mark, leaf.via)
        return self.holding({**self.children, first: below.put(rest, leaf)})


def nearest(root: Node, path: FieldPath) -> tuple[Node, int, str]:
    """Returns the deepest existing node along `path`, its depth in parts, and the closest `via` at or above it."""
    node, depth, via = root, 0, root.via
    for part in path:
        below = node.child(part)
        if below is None:
            break
        node, depth, via = below, depth + 1, below.via or via
    return node, depth, via


def dotted(path: FieldPath) -> str:
    """Formats a path as text: ('vary', 0, 'grid') -> 'vary[0].grid'."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
