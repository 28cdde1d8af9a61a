"""Seeded damage to one file: to its bytes, to the fields of JSON, to the lines of lists."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

#: kind -> (scene, its files relative to the scene's folder)
KINDS: dict[str, tuple[str, Sequence[str]]] = {
    "record": ("searched", ("runs/searched/trials/*/record.json", "runs/searched/tuning/trials/*/record.json")),
    "plan": ("searched", ("runs/searched/plan.json", "runs/searched/tuning/plan.json")),
    "status": ("searched", ("runs/searched/trials/*/status.json", "runs/searched/tuning/trials/*/status.json")),
    "studies": ("searched", ("runs/searched/tuning/studies.json",)),
    "journal": ("searched", ("runs/searched/optuna.journal",)),
    "checkpoint": ("filmed", ("runs/filmed/trials/*/checkpoint*.safetensors",)),
    "lists": ("filmed", ("train.csv", "val.csv", "test.csv")),
    "weights": ("filmed", ("weights.safetensors",)),
    "video": ("filmed", ("**/*.mp4",)),
}
#: kinds of JSON files, of JSON lines, and of lists
JSON, LINES, LISTS = ("record", "plan", "status", "studies"), ("journal",), ("lists",)
VALUES: tuple[Any, ...] = (
    0, 1, -1, 2, 0.5, 1.5, -0.078, 1e308, 2**63, 10**30, True, False, None, "", "x", "../../../x", "\x1b[2J", "=1+1",
    "deadbeef0000", [], {}, [[]], {"a": 1}, float("nan"), float("inf"),
)  # fmt: skip
RAW = ("1" + "0" * 400, "[" * 5000 + "]" * 5000, '"\\ud800"', "NaN", "-Infinity", "1e999")
Damage = Callable[[bytes, random.Random], bytes]


def files(folder: Path, kind: str) -> list[Path]:
    """Returns the files of a kind in a copy of its scene."""
    return sorted(path for pattern in KINDS[kind][1] for path in folder.glob(pattern) if "code" not in path.parts)


def damage(path: Path, kind: str, generator: random.Random) -> str:
    """Damages a file and returns what was done."""
    every: list[tuple[str, Damage]] = [*BYTES.items()]
    if kind in JSON:
        every = [*FIELDS.items()] * 3 + every
    if kind in LINES or kind in LISTS:
        every += [*TEXT.items()] * 2
    content = path.read_bytes()
    for _ in range(20):
        name, change = generator.choice(every)
        changed = change(content, generator)
        if changed != content:
            path.write_bytes(changed)
            return name
    path.unlink()
    return "deleted"


def _place(content: bytes, generator: random.Random) -> int:
    return generator.randrange(len(content)) if content else 0


def _flipped(content: bytes, generator: random.Random) -> bytes:
    place, changed = _place(content, generator), bytearray(content)
    changed[place] ^= 1 << generator.randrange(8)
    return bytes(changed)


def _digit(content: bytes, generator: random.Random) -> bytes:
    """Changes one digit of the text."""
    places = [index for index, byte in enumerate(content[:200_000]) if 48 <= byte <= 57]
    if not places:
        return content
    place = generator.choice(places)
    return content[:place] + str(generator.randrange(10)).encode() + content[place + 1 :]


def _span(content: bytes, generator: random.Random) -> tuple[int, int]:
    first = _place(content, generator)
    return first, min(len(content), first + generator.choice((1, 8, 64, 1024)))


def _zeroed(content: bytes, generator: random.Random) -> bytes:
    first, last = _span(content, generator)
    return content[:first] + bytes(last - first) + content[last:]


def _removed(content: bytes, generator: random.Random) -> bytes:
    first, last = _span(content, generator)
    return content[:first] + content[last:]


def _doubled(content: bytes, generator: random.Random) -> bytes:
    first, last = _span(content, generator)
    return content[:last] + content[first:]


def _inserted(content: bytes, generator: random.Random) -> bytes:
    place = _place(content, generator)
    return content[:place] + generator.randbytes(generator.choice((1, 16, 256))) + content[place:]


BYTES: dict[str, Damage] = {
    "bit flipped": _flipped,
    "digit changed": _digit,
    "bytes set to zero": _zeroed,
    "bytes removed": _removed,
    "bytes doubled": _doubled,
    "bytes inserted": _inserted,
    "cut off": lambda content, generator: content[: _place(content, generator)],
    "emptied": lambda content, generator: b"",
    "appended to": lambda content, generator: content + generator.randbytes(33),
}


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Returns the path of every value in JSON data but the outermost one."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in [(*path, key), *_leaves(item, (*path, key))]]


def _edited(content: bytes, generator: random.Random, edit: Callable[[Any, Any], Any]) -> bytes:
    """Applies `edit(container, key)` at a random place of JSON data."""
    data = json.loads(content)
    *way, key = generator.choice(_leaves(data))
    inner = data
    for step in way:
        inner = inner[step]
    edit(inner, key)
    return json.dumps(data).encode()


def _replaced(content: bytes, generator: random.Random) -> bytes:
    def edit(inner: Any, key: Any) -> None:
        inner[key] = generator.choice(VALUES)

    return _edited(content, generator, edit)


def _scaled(content: bytes, generator: random.Random) -> bytes:
    def edit(inner: Any, key: Any) -> None:
        value = inner[key]
        if isinstance(value, int | float) and not isinstance(value, bool):
            inner[key] = generator.choice((value + 1, -value, value * 1.001, value * 10))

    return _edited(content, generator, edit)


def _dropped(content: bytes, generator: random.Random) -> bytes:
    def edit(inner: Any, key: Any) -> None:
        del inner[key]

    return _edited(content, generator, edit)


def _added(content: bytes, generator: random.Random) -> bytes:
    def edit(inner: Any, key: Any) -> None:
        if isinstance(inner, dict):
            inner[f"{key}_"] = inner[key]
        else:
            inner.append(inner[key])

    return _edited(content, generator, edit)


def _raw(content: bytes, generator: random.Random) -> bytes:
    def edit(inner: Any, key: Any) -> None:
        inner[key] = "@raw@"

    return _edited(content, generator, edit).replace(b'"@raw@"', generator.choice(RAW).encode(), 1)


FIELDS: dict[str, Damage] = {
    "field replaced": _replaced,
    "number changed": _scaled,
    "field dropped": _dropped,
    "field added": _added,
    "field no JSON library wrote": _raw,
}


def _of_lines(change: Callable[[list[bytes], int], object]) -> Damage:
    def damaged(content: bytes, generator: random.Random) -> bytes:
        lines = content.splitlines(keepends=True)
        if lines:
            change(lines, generator.randrange(len(lines)))
        return b"".join(lines)

    return damaged


TEXT: dict[str, Damage] = {
    "line dropped": _of_lines(lambda lines, index: lines.pop(index)),
    "line doubled": _of_lines(lambda lines, index: lines.insert(index, lines[index])),
    "lines swapped": _of_lines(lambda lines, index: lines.append(lines.pop(index))),
    "NUL in a line": _of_lines(lambda lines, index: lines.insert(index, b"\0" + lines.pop(index))),
    "byte-order mark": lambda content, generator: b"\xef\xbb\xbf" + content,
    "carriage returns": lambda content, generator: content.replace(b"\n", b"\r"),
    "path above": _of_lines(lambda lines, index: lines.insert(index, b"../" + lines.pop(index))),
}
