"""Properties over generated files: any bytes, every key misspelt, every scalar wrong, the schema beside the planner."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from sweep_helpers import VARIANTS, WindowConfig, plan_file

from harness.errors import Fault, UserError
from harness.sweep.blocks import NAMED_MODELS, PLAIN_MODELS
from harness.sweep.document import KEYS
from harness.sweep.faults import FaultList
from harness.sweep.json_schema import sweep_schema
from harness.sweep.plan import Plan
from harness.sweep.yaml_source import compose_text

Faults = Callable[..., list[Fault]]

VIDEO = {"train_list": "a", "val_list": "b", "test_list": "c"}
GOOD: dict[str, Any] = {"question": "q", "data": {"name": "moving_shapes"}, "variant": {"name": "window"}}


def models() -> Iterator[tuple[str, str | None, type[BaseModel]]]:
    """(block, name or None, model) of everything that a sweep file may hold."""
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
    """A sweep file, one field a line, with one field of one block set; `drop` leaves a required field out."""
    required = VIDEO if name == "video_list" else {}
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
        # without a name it is the variant's default readout, which has no such field
        (found,) = faults(yaml.safe_dump({**GOOD, block: {"nmae": "mean_frames"}}))
    else:
        (found,) = faults(yaml.safe_dump({**GOOD, block: {"nmae": "window"}}))
    assert found.message.endswith("Did you mean name?")


def kinds(annotation: Any) -> set[Any]:
    """The types that a value may have: {int, None}, {'adamw', 'sgd'}, ..."""
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
        assert [fault.path for fault in found] == [f"{block}.{field}"], (value, [str(fault) for fault in found])
        first = line_of(text, field)
        assert place(found[0]) == (first + 1 if isinstance(value, dict) else first)
        assert "expected" in found[0].message or "is not allowed; o" in found[0].message


def bounds(info: Any) -> Iterator[float]:
    """Values just outside the range of a field."""
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


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "q.yaml"


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = [
    "name",
    "grid",
    "zip",
    "list",
    "window",
    "whole",
    "moving_shapes",
    "variant.reach",
    "null",
    "true",
    "1",
    "1e-3",
]
SIGNS = [
    ": ",
    ":",
    "- ",
    "\n",
    "\n  ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "&a",
    "*a",
    "!t ",
    "<<",
    "---\n",
    "...\n",
    "|",
    ">",
    "? ",
]
ODDITIES = ["'", '"', "\\x00", "\t", "\0", "#", "%YAML 1.1\n", "\x85", "\ufeff", "é", "-1"]
PIECES = st.sampled_from([*KEYS, *WORDS, *SIGNS, *ODDITIES])


def plan_or_fault(file: Path, *overrides: str) -> None:
    try:
        plan_file(file, *overrides)
    except UserError as error:
        raised = error
    else:
        return
    assert raised.faults
    assert str(raised).encode("utf-8")


@FUZZ
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_give_a_plan_or_faults(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    plan_or_fault(file)


@FUZZ
@given(pieces=st.lists(PIECES, max_size=30), override=st.lists(PIECES, max_size=6))
def test_any_pieces_of_yaml_give_a_plan_or_faults(file: Path, pieces: list[str], override: list[str]) -> None:
    file.write_bytes((yaml.safe_dump(GOOD) + "".join(pieces)).encode())
    plan_or_fault(file, "".join(override))


NUMBERS_AND_NULL = (
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
)
TEXTS = st.sampled_from(["window", "whole", "mean_frames", "variant.reach", "no", "all"])
SOME_KEYS = st.sampled_from(
    ["name", "reach", "grid", "zip", "list", "label", "variant.reach", "readout", "readout.name", "x.y"]
)
VALUES = st.recursive(
    NUMBERS_AND_NULL | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SOME_KEYS, inner, max_size=3),
    max_leaves=12,
)


@FUZZ
@given(blocks=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_any_values_give_a_plan_or_faults(file: Path, blocks: dict[str, Any]) -> None:
    file.write_text(yaml.safe_dump({**GOOD, **blocks}))
    plan_or_fault(file)


@FUZZ
@given(blocks=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4))
def test_the_schema_accepts_what_plans(file: Path, blocks: dict[str, Any]) -> None:
    content = {**GOOD, **blocks}
    file.write_text(yaml.safe_dump(content))
    try:
        plan_file(file)
    except UserError:
        return
    jsonschema.validate(content, schema())


ANY_TEXT = st.characters(
    codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufeff\ufffe\uffff"
)
YAML_DATA = st.recursive(
    NUMBERS_AND_NULL | st.text(ANY_TEXT),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abcdefgh_.", min_size=1), inner),
    max_leaves=20,
)


@FUZZ
@given(data=YAML_DATA, indent=st.none() | st.integers(0, 3))
def test_reads_back_what_a_json_writer_wrote(data: Any, indent: int | None) -> None:
    # JSON is YAML with every text quoted, and written by someone else
    faults = FaultList()
    node = compose_text(json.dumps(data, ensure_ascii=False, indent=indent), "f", faults)
    faults.raise_if_any()
    assert node is not None
    assert node.plain() == data


def schema() -> dict[str, Any]:
    return sweep_schema({name: variant.Config for name, variant in VARIANTS.items()})


def test_schema_is_valid_and_knows_the_fields_of_each_variant() -> None:
    made = schema()
    jsonschema.Draft202012Validator.check_schema(made)
    validator = jsonschema.Draft202012Validator(made)
    assert validator.is_valid({**GOOD, "readout": "mean_frames", "vary": [{"grid": {"variant.reach": [0, 1]}}]})
    assert validator.is_valid({**GOOD, "variant": {"name": "window", "reach": 3}})
    for wrong in (
        {"variant": {"name": "whole", "reach": 3}},
        {"variant": {"name": "windw"}},
        {"variant": "windw"},
        {"model": {"patch_sise": 4}},
        {"train": {"num_steps": "many"}},
        {"trian": {}},
        {"seeds": 0},
        {"vary": [{"gird": {}}]},
    ):
        assert not validator.is_valid({**GOOD, **wrong}), wrong


def test_misspell_changes_every_key() -> None:
    assert all(misspell(field) != field for _, _, field, _ in FIELDS)


def test_good_plans(plan: Callable[..., Plan]) -> None:
    assert len(plan(yaml.safe_dump(GOOD)).trials) == 1
