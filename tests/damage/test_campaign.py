"""100 seeded damages to the files of finished runs, and the judge itself: it finds faults that are planted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import cli
from harness.store.sealed import seal
from tests.damage.campaign import main, mutation, table
from tests.damage.damages import KINDS
from tests.damage.judge import judge
from tests.damage.scene import NAMES, finished, in_process


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a campaign; everything runs in this process."""
    with in_process(only_tables=True):
        folder = tmp_path_factory.mktemp("damage")
        for name in NAMES:
            finished(folder / "scenes", name)
        yield folder


def test_damage_is_noticed_and_costs_nothing_else(place: Path) -> None:
    verdicts = [mutation(place, number, seed=0) for number in range(100)]
    faults = [f"{item.file}, {item.what}: {fault}" for item in verdicts for fault in item.faults]
    assert not faults, "\n".join(faults)
    assert {item.kind for item in verdicts} == {*KINDS}
    assert table(verdicts).splitlines()[-1].split()[:2] == ["all", "100"]


def test_the_judge_finds_a_traceback(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> int:
        raise ValueError("planted")

    monkeypatch.setattr(cli, "main", broken)
    found = judge(place, "status", "0")
    assert any(fault.startswith("traceback of report") for fault in found.faults)


def test_the_judge_finds_a_silent_change(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record whose seal is not checked is believed."""

    def forged(path: Path, kind: str, generator: object) -> str:
        path.write_text(re.sub(r'"top1_correct": \d+', '"top1_correct": 1', path.read_text()))
        return "forged"

    monkeypatch.setattr(seal, "check", lambda content: ({key: content[key] for key in content if key != "seal"}, True))
    monkeypatch.setattr("tests.damage.judge.damage", forged)
    monkeypatch.setattr(
        "tests.damage.judge.files", lambda folder, kind: sorted(folder.glob("runs/*/trials/*/record.json"))
    )
    assert any(fault.startswith("silent") for fault in judge(place, "record", "0").faults)


def test_the_judge_finds_a_lost_record(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cli.main

    def careless(words: tuple[str, ...]) -> int:
        if words[0] == "sweep":
            for file in Path("runs").glob("*/trials/*/record.json"):
                file.unlink()
        return real(words)

    monkeypatch.setattr(cli, "main", careless)
    found = judge(place, "status", "0")
    assert any(fault.startswith("records lost") for fault in found.faults)


def test_a_campaign_resumes(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for number in ("1", "2"):
        monkeypatch.setattr(
            "sys.argv", ["campaign", "--mutations", number, "--kinds", "status", "--folder", str(place)]
        )
        assert main() == 0
    lines = (place / "seed-0.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["status", "status"]
    assert capsys.readouterr().out.count("status.json") == 2
