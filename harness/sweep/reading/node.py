"""A value of a sweep file together with the place where it was written.

Everything that reads, merges or varies a sweep works on these nodes, so that a fault that is found last (in a resolved
trial) can still name the line and column that caused it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True, order=True, slots=True)
class Mark:
    """A place in a file (or in a command-line argument); line and column count from 1.

    `place` names a place that has no line, such as a value of a dict; then line and column only order the faults.
    """

    file: str
    line: int
    column: int
    place: str = ""

    def __str__(self) -> str:
        return self.place or f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A scalar, a list of nodes or a mapping of nodes. Two nodes are the same only if they are one object.

    `mark` is where the value starts, `key_mark` where its key starts. `via` is "vary." for a value that an axis put
    in its place, so that messages name the axis.
    """

    value: Any
    mark: Mark
    key_mark: Mark | None = None
    via: str = ""

    @property
    def is_mapping(self) -> bool:
        """Whether the value is a mapping."""
        return isinstance(self.value, dict)

    @property
    def head(self) -> Mark:
        """Where the key starts, or the value where it has no key."""
        return self.key_mark or self.mark

    @property
    def children(self) -> dict[str, Node]:
        """The entries of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    def plain(self) -> Any:
        """The value as ordinary dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, part: str | int) -> Node | None:
        """The entry under a key or an index, or None."""
        if isinstance(self.value, dict) and isinstance(part, str):
            return self.children.get(part)
        items: list[Node] = self.value if isinstance(self.value, list) else []
        return items[part] if isinstance(part, int) and 0 <= part < len(items) else None

    def holding(self, value: Any) -> Node:
        """The same place with another value."""
        return replace(self, value=value)

    def put(self, path: Sequence[str], leaf: Node) -> Node:
        """A copy with `leaf` at `path`; mappings on the way are made where there are none.

        Raises:
            TypeError: something on the way is neither a mapping nor null.
        """
        if not path:
            return leaf
        if self.value is not None and not self.is_mapping:
            raise TypeError("only a mapping has fields")
        first, *rest = path
        below = self.children.get(first) or Node(None, leaf.mark, leaf.key_mark, leaf.via)
        return self.holding({**self.children, first: below.put(rest, leaf)})


def nearest(root: Node, path: FieldPath) -> tuple[Node, int, str]:
    """The deepest node on the way along `path`, how many parts of the path lead to it, and the `via` nearest to it."""
    node, depth, via = root, 0, root.via
    for part in path:
        below = node.child(part)
        if below is None:
            break
        node, depth, via = below, depth + 1, below.via or via
    return node, depth, via


def dotted(path: FieldPath) -> str:
    """A path as text: ('vary', 0, 'grid') -> 'vary[0].grid'."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
