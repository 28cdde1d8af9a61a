"""Fields of nested mappings by dotted name: read, replace, flatten, compare with wanted values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: the value of a field that a mapping does not have
ABSENT: Any = object()


def path_of(name: str) -> tuple[str, ...]:
    """Split a dotted name: 'train.num_steps' -> ('train', 'num_steps')."""
    return tuple(name.split("."))


def get_field(content: Any, name: str | Sequence[str], default: Any = ABSENT) -> Any:
    """Return the value of a dotted field (or path); `default` where there is no such field."""
    for part in path_of(name) if isinstance(name, str) else name:
        if not isinstance(content, Mapping) or part not in content:
            return default
        content = content[part]
    return content


def get_attribute(model: Any, name: str) -> Any:
    """Return the attribute with a dotted name; None where it, or what it lies in, is None."""
    for part in path_of(name):
        model = None if model is None else getattr(model, part)
    return model


def with_field(content: Mapping[str, Any], name: str | Sequence[str], value: Any) -> dict[str, Any]:
    """Return a copy with one field replaced or added; everything else is shared with `content`, which stays as it is.

    Raises: TypeError where the field lies in something that is no mapping.
    """
    first, *rest = path_of(name) if isinstance(name, str) else name
    if not rest:
        return {**content, first: value}
    inner = content.get(first, {})
    if not isinstance(inner, Mapping):
        raise TypeError(f"{first} is no mapping: it has no field {'.'.join(rest)}")
    return {**content, first: with_field(inner, rest, value)}


def flat_fields(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted name -> value for every leaf, in the order of the mappings. A list is a leaf."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= flat_fields(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def has_value(value: Any, wanted: Any) -> bool:
    """Return whether a resolved value is the wanted one.

    A list means any of its values (or the list itself); a named block may be given by its name or by some of its
    fields. True and 1 are different values, 1 and 1.0 are not.
    """
    if isinstance(wanted, list) and not isinstance(value, list):
        return any(has_value(value, item) for item in wanted)
    if isinstance(value, Mapping):
        fields = {"name": wanted} if isinstance(wanted, str) else wanted
        return isinstance(fields, Mapping) and all(
            has_value(value.get(key, ABSENT), item) for key, item in fields.items()
        )
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return bool(value == wanted)


def matches(content: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether a configuration has all the wanted values (dotted name -> value), see `has_value`."""
    return all(has_value(get_field(content, name), value) for name, value in wanted.items())
