"""docs/measuring.md is correct: it lists every field of a record's costs, and its commands run."""

from __future__ import annotations

import re
import shlex
import typing
from pathlib import Path

import pytest

from harness import units
from harness.cli import main
from harness.measure.count.planned import planned_costs
from harness.python_api.targets import plan_target
from harness.record import Costs, RecordModel

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "measuring.md").read_text(encoding="utf-8")


def parts_in(annotation: object) -> list[type[RecordModel]]:
    """Returns the parts of a record that a type contains, also inside unions, lists and dicts."""
    if isinstance(annotation, type) and issubclass(annotation, RecordModel):
        return [annotation]
    return [part for inner in typing.get_args(annotation) for part in parts_in(inner)]


def fields_of(part: type[RecordModel]) -> set[str]:
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
    arguments = shlex.split(line, comments=True)
    if "model.size=B" in arguments:  # 23 rows at full depth take half a minute
        arguments += ["--set", "model.depth=1"]
    assert main(arguments) == 0


@pytest.mark.parametrize("label", ["mixing", "pooled"])
def test_the_printed_table_is_the_output_of_the_command(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (line,) = re.findall(r"^python -m harness cost (sweeps/schemes.yaml .*--memory)$", PAGE, re.MULTILINE)
    settings = [word for word in shlex.split(line) if "=" in word]
    trial = next(t for t in plan_target("sweeps/schemes.yaml", settings, []).trials if t.label == label)
    costs = planned_costs(trial.config, memory=True)
    memory = costs.predicted_memory
    assert memory is not None
    (printed,) = re.findall(rf"^{label}  .*$", PAGE, re.MULTILINE)
    cells = re.split(r" {2,}", printed)
    assert cells[1:3] == [units.count(costs.num_parameters), units.macs(costs.macs.macs_per_view)]
    peaks = (memory.inference_peak_bytes, memory.train_step_peak_bytes)
    assert cells[5:7] == [units.num_bytes(size) for size in peaks]
    assert f"predicted peak with {memory.batch_size} clips" in PAGE
