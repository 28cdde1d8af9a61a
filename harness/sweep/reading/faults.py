"""Collects the faults of a sweep with their marks and words them for users.

`FaultList` collects all faults before it raises. `field_faults` converts pydantic's errors into messages that name
the given value, the allowed values and a fix.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from harness.aliases import nearest_name
from harness.errors import Fault, UserError, did_you_mean
from harness.sweep.reading.node import FieldPath, Mark, Node, dotted, nearest

EXPECTED = {
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "none_required": "null",
}
BOUNDS = {
    "greater_than_equal": "too small; at least {ge}",
    "greater_than": "too small; must be greater than {gt}",
    "less_than_equal": "too large; at most {le}",
    "less_than": "too large; must be less than {lt}",
    "multiple_of": "not a multiple of {multiple_of}",
}
YAML_1_1_BOOLS = {"yes": "true", "y": "true", "on": "true", "no": "false", "n": "false", "off": "false"}


class FaultList:
    """Faults of one sweep; a fault that many trials share is kept once.

    `incomplete` is set when unreadable values were skipped; missing fields are then no faults.
    """

    def __init__(self) -> None:
        self.incomplete = False
        self._found: dict[tuple[Mark, str, str], None] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, mark: Mark, path: str, message: str) -> None:
        """Adds a fault at a place in a file."""
        self._found[mark, path, message] = None

    def has(self, mark: Mark, path: str) -> bool:
        """Returns True if the list has a fault of that field at that place."""
        return any(found[:2] == (mark, path) for found in self._found)

    def absorb(self, error: UserError, mark: Mark, path: str) -> None:
        """Adds the faults of an error from another module at `mark`."""
        for fault in error.faults:
            self.add(mark, path, f"{fault.path}: {fault.message}" if fault.path else fault.message)

    def error(self) -> UserError:
        """Returns an error with all faults, sorted by file, line and column."""
        found = sorted(self._found)
        # the place in a dict often is the path itself
        return UserError(
            Fault("" if mark.place and mark.place == path else str(mark), path, message)
            for mark, path, message in found
        )

    def raise_if_any(self) -> None:
        """Raises an error with all faults, if there are any.

        Raises:
            UserError: there is at least one fault.
        """
        if self._found:
            raise self.error()


def describe(value: Any) -> str:
    """Describes a value in words: text 'abc', the number 5, true, null, a list, a mapping."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value!r}"
    if isinstance(value, str):
        return f"text {value[:60]!r}" + ("..." if len(value) > 60 else "")
    return "a list" if isinstance(value, list) else "a mapping"


def one_of(names: Sequence[Any]) -> str:
    """Lists allowed values as text: 'one of a, b', or 'only a'."""
    text = ", ".join(str(name) for name in names)
    return f"one of {text}" if len(names) != 1 else f"only {text}"


def unknown_name(given: Any, names: Sequence[str]) -> str:
    """Returns the message for a name that is not allowed."""
    hint = did_you_mean(given, names) if isinstance(given, str) else ""
    shown = repr(given) if isinstance(given, str) else describe(given)
    return f"{shown} is not allowed; {one_of(names)}.{hint}"


def unknown_field(owner: str, given: str, fields: Sequence[str]) -> str:
    """Returns the message for a key that its owner does not have."""
    return _unknown_field(owner, given, tuple(fields))


@lru_cache(maxsize=1024)  # one misspelt axis gives the same fault in each of its rows
def _unknown_field(owner: str, given: str, fields: tuple[str, ...]) -> str:
    names = ", ".join(sorted(fields)) or "none"
    hint = did_you_mean(given, fields) or _hint_elsewhere(given, fields)
    return f"{owner} has no such field. Fields: {names}.{hint}"


def _hint_elsewhere(given: str, fields: Sequence[str]) -> str:
    """Return ' Did you mean train.learning_rate?' where a field of another block was meant, or an empty string."""
    from harness.sweep.blocks import PLAIN_MODELS  # it words its faults with this module

    for block, model in PLAIN_MODELS.items():
        near = nearest_name(given, list(model.model_fields), cutoff=0.85)
        if near is not None and {*model.model_fields} != {*fields}:
            return f" Did you mean {block}.{near}?"
    return ""


def hint(value: Any, kind: str) -> str:
    """Suggests a fix for a value whose YAML type differs from the intended one; may be empty."""
    if kind == "list_type" and not isinstance(value, dict | list):
        return f"; write [{'null' if value is None else value}]" if not isinstance(value, str) else "; write it in [ ]"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "; put it in quotes"
    if kind == "int_type" and isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"; write {int(value)}"
    if not isinstance(value, str) or kind not in ("bool_type", "int_type", "float_type"):
        return ""
    return _text_hint(value, kind)


def _text_hint(text: str, kind: str) -> str:
    plain = text.replace("_", "")
    if kind == "bool_type" and text.lower() in YAML_1_1_BOOLS:
        return f"; {text} is text here, write {YAML_1_1_BOOLS[text.lower()]}"
    if kind == "bool_type":
        return f"; write {text} without quotes" if text in ("true", "false") else ""
    if re.fullmatch(r"[-+]?(0x[0-9a-fA-F]{1,15}|0o[0-7]{1,15}|0b[01]{1,15})", plain):
        return f"; {text} is text here, write {int(plain, 0)}"
    if re.fullmatch(r"[-+]?\d{1,15}(\.\d{0,15})?([eE][-+]?\d{1,3})?", plain):
        bare = re.sub(r"^([-+]?)0+(?=\d)", r"\1", plain)
        return f"; {text} is text here, write {bare}" if bare != text else f"; write {text} without quotes"
    return "; a time of day is text here" if re.fullmatch(r"\d+(:\d+)+(\.\d*)?", text) else ""


def message_of(item: dict[str, Any], value: Any) -> str:
    """Returns the message for one pydantic error about a value of the right type."""
    kind, context = item["type"], item.get("ctx", {})
    if kind in BOUNDS:
        return f"{value!r} is {BOUNDS[kind].format(**context)}"
    if kind == "literal_error":
        return unknown_name(value, re.findall(r"'([^']*)'", context["expected"]) or _bare(context["expected"]))
    if kind == "too_short":
        return f"{context['actual_length']} values are too few; at least {context['min_length']}"
    if kind == "too_long":
        return f"more than {context['max_length']} values; at most {context['max_length']}"
    if kind == "string_too_short":
        return f"text of {len(value)} characters is too short; at least {context['min_length']}"
    return str(item["msg"]).removeprefix("Value error, ")


def _bare(expected: str) -> list[str]:
    return re.split(r", | or ", expected)


def field_faults(
    error: ValidationError, block: Node, path: FieldPath, owner: str, fields: Sequence[str]
) -> Iterator[tuple[Mark, str, str]]:
    """Yields the faults of one validated block as (mark, path, message).

    `path` is the location of the block in the sweep, `owner` its name in messages, `fields` the keys it may have.
    """
    grouped: dict[FieldPath, list[dict[str, Any]]] = {}
    for item in error.errors(include_url=False):
        grouped.setdefault(_written(tuple(item["loc"]), item["type"], block), []).append(dict(item))
    for loc, items in grouped.items():
        # errors at one place, or at a place and its parent, come from the branches of one union
        inner = any(other[: len(loc)] == loc != other for other in grouped)
        if not (inner and all(item["type"] in (*EXPECTED, "literal_error") for item in items)):
            yield _one_fault(items, loc, block, path, owner, fields)


def _written(loc: FieldPath, kind: str, block: Node) -> FieldPath:
    """Returns the location without the parts by which pydantic names branches of a union."""
    real: FieldPath = ()
    for part in loc:
        if nearest(block, (*real, part))[1] == len(real) + 1:
            real = (*real, part)
    return (*real, loc[-1]) if kind == "missing" else real


def _one_fault(
    items: list[dict[str, Any]], loc: FieldPath, block: Node, path: FieldPath, owner: str, fields: Sequence[str]
) -> tuple[Mark, str, str]:
    node, _, via = nearest(block, loc)
    where, kinds = via + dotted((*path, *loc)), [item["type"] for item in items]
    if "extra_forbidden" in kinds:
        top = len(loc) == 1
        return node.head, where, unknown_field(owner if top else dotted(loc[:-1]), str(loc[-1]), fields if top else ())
    if "missing" in kinds:
        return node.head, where, f"missing; {owner} needs it"
    given = node.plain()
    informative = [item for item in items if item["type"] not in EXPECTED]
    if not informative:
        expected = " or ".join(dict.fromkeys(EXPECTED[kind] for kind in kinds))
        hints = [text for kind in kinds if (text := hint(given, kind))]
        return node.mark, where, f"expected {expected}, got {describe(given)}{hints[0] if hints else ''}"
    messages = dict.fromkeys(message_of(item, given) for item in informative)
    return node.mark, where, ", or ".join(messages)


def literal_faults(config: BaseModel, block: Node, path: FieldPath) -> Iterator[tuple[Mark, str, str]]:
    """Yields values that equal an allowed number but have another type: pydantic accepts `true` and 1.0 for 1."""
    for name, field in type(config).model_fields.items():
        node = block.children.get(name)
        allowed = get_args(field.annotation)
        if node is None or get_origin(field.annotation) is not Literal:
            continue
        if not any(type(node.value) is type(value) and node.value == value for value in allowed):
            yield node.mark, nearest(block, (name,))[2] + dotted((*path, name)), unknown_name(node.plain(), allowed)
