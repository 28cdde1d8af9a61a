"""docs/measuring.md is true: it names every field of a record's costs, and its commands run."""

from __future__ import annotations

import re
import shlex
import typing
from pathlib import Path

import pytest

from harness.cli import main
from harness.record import Costs, Part

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "measuring.md").read_text(encoding="utf-8")


def parts_in(annotation: object) -> list[type[Part]]:
    """The parts of a record that a type holds, however deep: None, lists and dicts are looked through."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return [annotation]
    return [part for inner in typing.get_args(annotation) for part in parts_in(inner)]


def fields_of(part: type[Part]) -> set[str]:
    found = {f"{part.__name__}.{name}" for name in part.model_fields}
    for info in part.model_fields.values():
        for inner in parts_in(info.annotation):
            found |= fields_of(inner)
    return found


def test_the_table_holds_exactly_the_fields_of_the_record() -> None:
    documented = re.findall(r"^\| `(\w+\.\w+)` \|", PAGE, re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == fields_of(Costs)


def test_the_enumeration_reaches_nested_parts() -> None:
    assert {"Timing.samples_ms", "BackwardMacs.rule_macs", "Costs.macs"} <= fields_of(Costs)


@pytest.mark.parametrize("line", re.findall(r"^python -m harness (.*)$", PAGE, re.MULTILINE))
def test_its_commands_run(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(line, comments=True)) == 0
