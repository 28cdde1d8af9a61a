"""Dotted fields: one getter, one setter, one comparison for --only, baseline, where of a search and of resources."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness.fields import ABSENT, flat_fields, get_field, has_value, matches, with_field

ROOT = Path(__file__).resolve().parents[1]
CONFIG = {
    "variant": {"name": "mixing", "temporal_window": 1, "ends": None},
    "train": {"betas": [0.9, 0.999]},
    "w": None,
}


def test_a_field_is_read_by_its_dotted_name_or_its_path() -> None:
    assert get_field(CONFIG, "variant.temporal_window") == get_field(CONFIG, ("variant", "temporal_window")) == 1
    assert get_field(CONFIG, "variant.ends") is None
    assert get_field(CONFIG, "variant.end") is ABSENT
    assert get_field(CONFIG, "w.x", None) is None
    assert get_field(CONFIG, "variant.name.x") is ABSENT


def test_a_field_is_replaced_in_a_copy() -> None:
    changed = with_field(CONFIG, "variant.temporal_window", 3)
    assert get_field(changed, "variant.temporal_window") == 3
    assert get_field(CONFIG, "variant.temporal_window") == 1
    assert get_field(with_field({}, "a.b.c", 1), "a.b.c") == 1
    with pytest.raises(TypeError, match="name is no mapping"):
        with_field(CONFIG, "variant.name.x", 1)


def test_leaves_keep_their_order() -> None:
    names = ["variant.name", "variant.temporal_window", "variant.ends", "train.betas", "w"]
    assert list(flat_fields(CONFIG)) == names
    assert {name: get_field(CONFIG, name) for name in names} == flat_fields(CONFIG)


@pytest.mark.parametrize(
    ("value", "wanted", "holds"),
    [
        (1, 1.0, True), (True, 1, False), (1, True, False), (None, None, True), (ABSENT, None, False),
        ("a", ["b", "a"], True), ("a", [], False), ([1, 2], [1, 2], True), (1, [1, 2], True),
        ({"name": "mixing", "t": 1}, "mixing", True), ({"name": "mixing", "t": 1}, ["joint", "mixing"], True),
        ({"name": "mixing", "t": 1}, {"t": 1}, True), ({"name": "mixing", "t": 1}, {"t": 2}, False),
        ({"name": "mixing"}, 1, False), ({"t": {"u": 1}}, {"t": {"u": 1}}, True), ({}, {"t": None}, False),
    ],
)  # fmt: skip
def test_one_rule_says_whether_a_value_is_the_wanted_one(value: object, wanted: object, holds: bool) -> None:
    assert has_value(value, wanted) is holds


def test_all_conditions_have_to_hold() -> None:
    assert matches(CONFIG, {"variant": "mixing", "variant.temporal_window": [1, 2]})
    assert not matches(CONFIG, {"variant": "mixing", "variant.temporal_window": 2})
    assert matches(CONFIG, {})


def test_nothing_else_splits_dotted_names_into_paths() -> None:
    """`tuple(name.split("."))` stands in fields.py only; `--set` strips its parts and has a splitter of its own."""
    found = []
    for path in [*(ROOT / "harness").rglob("*.py"), *(ROOT / "reports").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node).endswith(".split('.'))") and path.name != "fields.py":
                found.append(f"{path.name}:{node.lineno}")
    assert found == []
