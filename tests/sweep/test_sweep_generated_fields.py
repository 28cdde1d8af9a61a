"""Properties over generated files: every key misspelt, every scalar of a wrong type or out of range."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any, Literal, Union, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel
from sweep_helpers import WindowConfig

from harness.errors import Fault
from harness.sweep.blocks import NAMED_MODELS, PLAIN_MODELS
from harness.sweep.plan import Plan
from harness.sweep.reading.document import KEYS

Faults = Callable[..., list[Fault]]

VIDEO = {"train_list": "a", "val_list": "b", "test_list": "c"}
REQUIRED: dict[str, dict[str, Any]] = {"video_list": VIDEO, "weights": {"file": "a.npz"}}
GOOD: dict[str, Any] = {"question": "q", "data": {"name": "moving_shapes"}, "variant": {"name": "window"}}


def models() -> Iterator[tuple[str, str | None, type[BaseModel]]]:
    """Yields (block, name or None, model) for every block of a sweep file."""
    for block, model in PLAIN_MODELS.items():
        yield block, None, model
    for block, named in NAMED_MODELS.items():
        for name, model in named.items():
            yield block, name, model
    yield "variant", "window", WindowConfig


FIELDS = [
    (block, name, field, info)
    for block, name, model in models()
    for field, info in model.model_fields.items()
    if field != "name"
]
IDS = [f"{block}.{name or ''}.{field}" for block, name, field, _ in FIELDS]


def with_field(block: str, name: str | None, field: str, value: Any, drop: str | None = None) -> str:
    """Returns a sweep file with one field per line and one field of one block set; `drop` omits a required field."""
    required = REQUIRED.get(name or block, {})
    fields = {key: item for key, item in required.items() if key != drop}
    content = {**({"name": name} if name else {}), **fields, field: value}
    return yaml.safe_dump({**GOOD, block: content}, sort_keys=False, default_flow_style=False)


def line_of(text: str, key: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), 1) if line.strip().startswith(f"{key}:"))


def place(fault: Fault) -> int:
    return int(fault.where.rsplit(":", 2)[1])


def misspell(key: str) -> str:
    return key + "x" if len(key) < 4 else key[:2] + key[3] + key[2] + key[4:] if key[2] != key[3] else key[:2] + key[3:]


@pytest.mark.parametrize(("block", "name", "field", "info"), FIELDS, ids=IDS)
def test_every_key_misspelt(faults: Faults, block: str, name: str | None, field: str, info: Any) -> None:
    wrong = misspell(field)
    text = with_field(block, name, wrong, 1, drop=field)
    (found,) = [fault for fault in faults(text) if fault.path == f"{block}.{wrong}"]
    assert found.message.endswith(f"Did you mean {field}?")
    assert place(found) == line_of(text, wrong)


@pytest.mark.parametrize("key", KEYS)
def test_every_top_level_key_misspelt(faults: Faults, key: str) -> None:
    wrong = misspell(key)
    text = yaml.safe_dump({**{k: v for k, v in GOOD.items() if k != key}, wrong: None}, sort_keys=False)
    (found,) = [fault for fault in faults(text) if fault.path == wrong]
    assert found.message.endswith(f"Did you mean {key}?")
    assert place(found) == line_of(text, wrong)


@pytest.mark.parametrize("block", ["data", "variant", "readout"])
def test_misspelt_name(faults: Faults, block: str) -> None:
    if block == "readout":
        # the variant's default readout takes the missing name; it has no such field
        (found,) = faults(yaml.safe_dump({**GOOD, block: {"nmae": "mean_frames"}}))
    else:
        (found,) = faults(yaml.safe_dump({**GOOD, block: {"nmae": "window"}}))
    assert found.message.endswith("Did you mean name?")


def kinds(annotation: Any) -> set[Any]:
    """Returns the types or values that a field allows: {int, None}, {'adamw', 'sgd'}, ..."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return {kind for branch in get_args(annotation) for kind in kinds(branch)}
    if origin is Literal:
        return set(get_args(annotation))
    if hasattr(annotation, "__metadata__"):
        return kinds(annotation.__origin__)
    return {origin or annotation}


@pytest.mark.parametrize(("block", "name", "field", "info"), FIELDS, ids=IDS)
def test_every_field_of_a_wrong_type(faults: Faults, block: str, name: str | None, field: str, info: Any) -> None:
    allowed = kinds(info.annotation)
    wrong: list[Any] = [{"a": 1}, "no such text"] if str not in allowed else [{"a": 1}, 7]
    wrong += [] if bool in allowed else [True]
    wrong += [] if type(None) in allowed else [None]
    wrong += [] if float in allowed else [2.5]
    for value in wrong:
        text = with_field(block, name, field, value)
        found = faults(text)
        # a mapping whose values are wrong is reported at the value
        paths = [fault.path.removesuffix(".a") for fault in found]
        assert paths == [f"{block}.{field}"], (value, [str(fault) for fault in found])
        first = line_of(text, field)
        assert place(found[0]) == (first + 1 if isinstance(value, dict) else first)
        assert "expected" in found[0].message or "is not allowed; o" in found[0].message


def bounds(info: Any) -> Iterator[float]:
    """Yields values just outside the range of a field."""
    marks = [*info.metadata]
    for branch in [info.annotation, *get_args(info.annotation)]:
        marks += [item for data in getattr(branch, "__metadata__", ()) for item in getattr(data, "metadata", [data])]
    for item in marks:
        step = 1 if int in kinds(info.annotation) else 0.001
        for side, value in (("ge", -step), ("gt", 0), ("le", step), ("lt", 0)):
            if getattr(item, side, None) is not None:
                yield getattr(item, side) + value


NUMBERS = [field for field in FIELDS if list not in kinds(field[3].annotation)]
RANGES = [(*field[:3], value) for field in NUMBERS for value in bounds(field[3])]


@pytest.mark.parametrize(("block", "name", "field", "value"), RANGES)
def test_every_field_out_of_range(faults: Faults, block: str, name: str | None, field: str, value: float) -> None:
    text = with_field(block, name, field, value)
    (found,) = faults(text)
    assert found.path == f"{block}.{field}"
    assert place(found) == line_of(text, field)
    assert any(word in found.message for word in ("at least", "greater than", "at most", "less than", "multiple of"))


def test_ranges_were_found() -> None:
    assert len(RANGES) > 50


def test_misspell_changes_every_key() -> None:
    assert all(misspell(field) != field for _, _, field, _ in FIELDS)


def test_good_plans(plan: Callable[..., Plan]) -> None:
    assert len(plan(yaml.safe_dump(GOOD)).trials) == 1
