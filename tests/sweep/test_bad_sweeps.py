"""Tests that every kind of faulty sweep file gives exactly one message, at the right line and column."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import bad_fields
import bad_text
import pytest
from bad_text import HEAD
from sweep_helpers import plan_file

from harness.errors import Fault, UserError
from harness.sweep.reading.text import printable

Faults = Callable[..., list[Fault]]

ONE_FAULT = bad_text.CASES | bad_fields.CASES


@pytest.mark.parametrize(("text", "place", "message"), ONE_FAULT.values(), ids=ONE_FAULT.keys())
def test_one_fault_one_message(faults: Faults, text: str | bytes, place: str, message: str) -> None:
    begin = time.process_time()
    found = faults(text)
    assert time.process_time() - begin < 2
    assert [fault.where for fault in found] == [f"q.yaml:{place}".rstrip(":")], [str(fault) for fault in found]
    assert message in str(found[0])
    assert "\n" not in str(found[0])


OVERRIDES = {
    "no value": ("train.num_steps", "expected path=value"),
    "empty value": ("train.num_steps=", "expected path=value"),
    "empty path": ("=3", "expected path=value"),
    "empty part": ("train..x=3", "expected path=value"),
    "unknown block": ("trian.num_steps=3", "Did you mean train?"),
    "unknown field": ("train.num_stesp=3", "Did you mean num_steps?"),
    "wrong type": ("train.num_steps=many", "expected an integer, got text 'many'"),
    "out of range": ("train.batch_size=0", "0 is too small; at least 1"),
    "geometry": ("model.patch_size=3", "do not tile"),
    "whole block": ("train={num_steps: 3}", "set its fields"),
    "base": ("base=other.yaml", "read before --set"),
    "into seeds": ("seeds.x=1", "no fields"),
    "broken YAML": ("variant={name: window", "not valid YAML"),
    "tab": ("question=a\tb", "a tab"),
    "alias": ("seeds=*x", "aliases"),
    "surrogate": ("question=\udcff", "U+DCFF"),
    "overwritten by an axis": ("variant.reach=2", "vary sets variant.reach in its rows"),
    "overwritten by an axis above": ("readout.norm=after", "vary sets readout in its rows"),
}


@pytest.mark.parametrize(("override", "message"), OVERRIDES.values(), ids=OVERRIDES.keys())
def test_bad_overrides(faults: Faults, override: str, message: str) -> None:
    axes = "vary: [{grid: {variant.reach: [0, 1], readout: [mean_frames, mean_tokens]}}]\n"
    found = faults(HEAD + axes, override)
    assert len(found) == 1
    assert message in str(found[0])
    assert found[0].where == f"--set {printable(override)}", "an option has no lines and columns"
    assert str(found[0]).encode("utf-8")


def test_set_twice(faults: Faults) -> None:
    (found,) = faults(HEAD, "seeds=2", "seeds=3")
    assert "set twice" in found.message


def test_all_faults_at_once_in_the_order_of_the_file(faults: Faults) -> None:
    text = "question: 3\ndata: {name: moving_shapes, noise: 7}\nvariant: windw\nmodel: {patch_sise: 4}\nseeds: x\n"
    found = faults(text + "train: {num_steps: &a 1, num_steps: 2}\n", "train.bach_size=3")
    assert found[0].where == "--set train.bach_size=3"
    assert [fault.where.rsplit(":", 2)[1] for fault in found[1:]] == ["1", "2", "3", "4", "5", "6", "6"]


def test_a_fault_of_the_base_names_its_file_and_appears_once(faults: Faults) -> None:
    Path("recipes").mkdir()
    Path("recipes/r.yaml").write_text("train:\n  num_steps: many\n")
    (found,) = faults(HEAD + "base: recipes/r.yaml\nvary: [{grid: {variant.reach: [0, 1, 2]}}]\nseeds: 3\n")
    assert found.where == "recipes/r.yaml:2:14"


def test_missing_base(faults: Faults) -> None:
    Path("recipe.yaml").write_text("seeds: 2\n")
    (found,) = faults(HEAD + "base: recipes.yaml\n")
    assert found.where == "q.yaml:4:7"
    assert "Did you mean recipe.yaml?" in found.message


def test_a_base_that_is_its_own_base(faults: Faults) -> None:
    Path("r.yaml").write_text("base: q.yaml\n")
    (found,) = faults(HEAD + "base: r.yaml\n")
    assert found.where == "r.yaml:1:7"
    assert "leads back" in found.message


def test_missing_file_and_folder(faults: Faults, tmp_path: Path) -> None:
    Path("window_size.yaml").write_text(HEAD)
    for path, message in (
        ("window_sise.yaml", "Did you mean window_size.yaml?"),
        ("nowhere/a.yaml", "no folder nowhere"),
        (".", "cannot name a sweep"),
        (str(tmp_path), "a folder; name a sweep file in it: window_size.yaml"),
        ("my sweep.yaml", "cannot name a sweep"),
        ("..yaml", "cannot name a sweep"),
        ("a\0b.yaml", "cannot name a sweep"),
        ("\udcff/a.yaml", "no such file"),
        ("a" * 300 + ".yaml", "name too long"),
    ):
        with pytest.raises(UserError) as caught:
            plan_file(Path(path))
        assert len(caught.value.faults) == 1
        assert message in str(caught.value)
        assert ":1:1" not in str(caught.value).encode("utf-8").decode()
        assert str(caught.value).count(printable(path)) == 1 or "cannot name" in message
