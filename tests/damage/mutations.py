"""Seeded damage to files: of bytes, as disks and editors make it, and of JSON, as programs and people make it."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

Damage = Callable[[bytes, Random], bytes]


def _flip_bit(content: bytes, random: Random) -> bytes:
    place = random.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << random.randrange(8))]) + content[place + 1 :]


def _change_digit(content: bytes, random: Random) -> bytes:
    places = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    place = random.choice(places)
    digit = random.choice([digit for digit in range(48, 58) if digit != content[place]])
    return content[:place] + bytes([digit]) + content[place + 1 :]


def _drop_slice(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content))
    return content[:start] + content[start + 1 + random.randrange(64) :]


def _repeat_slice(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content))
    return content[:start] + content[start : start + 1 + random.randrange(64)] + content[start:]


def _zeros(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content))
    size = min(len(content) - start, 1 + random.randrange(4096))
    return content[:start] + bytes(size) + content[start + size :]


#: damage of any file
OF_BYTES: dict[str, Damage] = {
    "flip_bit": _flip_bit,
    "change_digit": _change_digit,
    "drop_slice": _drop_slice,
    "repeat_slice": _repeat_slice,
    "zeros": _zeros,
    "truncate": lambda content, random: content[: random.randrange(len(content))],
    "empty": lambda content, random: b"",
    "append": lambda content, random: content + random.randbytes(1 + random.randrange(64)),
    "not_utf8": lambda content, random: content.replace(b'"', b"\xff\xfe", 1),
    "deep": lambda content, random: b'{"a":' * 100_000,
    "deep_but_valid": lambda content, random: b'{"a":' * 500 + b"1" + b"}" * 500,
    "another_kind": lambda content, random: random.choice([b"[]", b"null", b"0", b'"text"', b"{}"]),
    "huge_text": lambda content, random: b'{"schema_version": 3, "a": "' + b"x" * 2_000_000 + b'"}',
}
#: what takes the place of a value, as text of JSON
VALUES = (
    "NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, "-1", "0", "1.5", "null", "true", '""', '"../../../x"',
    '"\\ud800"', '"\\u0000"', "[]", "{}", "[[[[[[]]]]]]", '"99"', "[1, 2, 3]",
)  # fmt: skip
_MARK = "\0the value\0"


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Returns the paths of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, item in items:
        found += [(*path, key), *_places(item, (*path, key))]
    return found


def _parent(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        content = content[key]
    return content


def _replace_value(content: bytes, random: Random) -> bytes:
    found = json.loads(content)
    path = random.choice(_places(found))
    _parent(found, path)[path[-1]] = _MARK
    return json.dumps(found).replace(json.dumps(_MARK), random.choice(VALUES)).encode()


def _scale_number(content: bytes, random: Random) -> bytes:
    found = json.loads(content)
    numbers = [path for path in _places(found) if type(_parent(found, path)[path[-1]]) in (int, float)]
    path = random.choice(numbers)
    parent = _parent(found, path)
    parent[path[-1]] = random.choice([parent[path[-1]] * 2 + 1, -parent[path[-1]] - 1, parent[path[-1]] + 0.5])
    return json.dumps(found).encode()


def _drop_value(content: bytes, random: Random) -> bytes:
    found = json.loads(content)
    path = random.choice(_places(found))
    del _parent(found, path)[path[-1]]
    return json.dumps(found).encode()


def _swap_values(content: bytes, random: Random) -> bytes:
    found = json.loads(content)
    dicts = [path for path in _places(found) if isinstance(_parent(found, path), dict)]
    one, other = random.choice(dicts), random.choice(dicts)
    first, second = _parent(found, one)[one[-1]], _parent(found, other)[other[-1]]
    if other[: len(one)] != one and one[: len(other)] != other:
        _parent(found, one)[one[-1]], _parent(found, other)[other[-1]] = second, first
    return json.dumps(found).encode()


def _add_key(content: bytes, random: Random) -> bytes:
    found = json.loads(content)
    dicts = [path for path in _places(found) if isinstance(_parent(found, path), dict)]
    _parent(found, random.choice(dicts))["surprise"] = 1
    return json.dumps(found).encode()


#: damage of a JSON object
OF_JSON: dict[str, Damage] = {
    "replace_value": _replace_value,
    "scale_number": _scale_number,
    "drop_value": _drop_value,
    "swap_values": _swap_values,
    "add_key": _add_key,
}


def _of_line(damage: Damage) -> Damage:
    """Returns damage of one line of a file with a JSON object in each line."""

    def damaged(content: bytes, random: Random) -> bytes:
        lines = content.splitlines(keepends=True)
        place = random.randrange(len(lines))
        lines[place] = damage(lines[place], random).rstrip(b"\n") + b"\n"
        return b"".join(lines)

    return damaged


def _drop_line(content: bytes, random: Random) -> bytes:
    lines = content.splitlines(keepends=True)
    del lines[random.randrange(len(lines))]
    return b"".join(lines)


def _swap_lines(content: bytes, random: Random) -> bytes:
    lines = content.splitlines(keepends=True)
    one, other = random.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


#: damage of a file with a JSON object in each line
OF_LINES: dict[str, Damage] = {
    **{f"line_{name}": _of_line(damage) for name, damage in OF_JSON.items()},
    "drop_line": _drop_line,
    "swap_lines": _swap_lines,
}


def damage(content: bytes, random: Random, *, lines: bool = False) -> tuple[str, bytes]:
    """Returns the name of a random damage and the damaged content, which differs from the content."""
    kinds = OF_BYTES | (OF_LINES if lines else OF_JSON)
    while True:
        name = random.choice(sorted(kinds))
        damaged = kinds[name](content, random)
        if damaged != content:
            return name, damaged
