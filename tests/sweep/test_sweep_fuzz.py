"""Properties over generated files: any bytes, any values, agreement of schema and planner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sweep_helpers import VARIANTS, plan_file

from harness.errors import UserError
from harness.sweep.json_schema import sweep_schema
from harness.sweep.reading.document import KEYS
from harness.sweep.reading.faults import FaultList
from harness.sweep.reading.yaml import compose_text

GOOD: dict[str, Any] = {"question": "q", "data": {"name": "moving_shapes"}, "variant": {"name": "window"}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "q.yaml"


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = ["name", "grid", "zip", "list", "window", "whole", "moving_shapes", "variant.reach", "null", "true", "1e-3"]
SIGNS = [": ", ":", "- ", "\n", "\n  ", "{", "}", "[", "]", ", ", "&a", "*a", "!t ", "<<", "---\n", "...\n", "|", "> "]
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
    # JSON is YAML with every text quoted, written by an independent program
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
