"""Hostile text in every text of a run: no command and no report shows a control character, markup or a formula."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from factory import edit, make_record, make_row, make_run, save, saved_trial
from test_reports_tuning import searched

from harness import cli
from harness.bounds import MAX_TEXT
from harness.cli import watch
from harness.launch.overview import StrandedDetector
from harness.store import TrialStatus
from harness.store.load import load
from harness.text.clean import TEXT_LIMIT
from reports import write_all
from tests.text.hostile import TEXTS, formulas, html_faults, markdown_markup, unprintable

#: fields that hold no free text: identities, and names that the schema closes
CLOSED = {
    "trial_id",
    "row_id",
    "trials",
    "baseline_row",
    "status",
    "schema_version",
    "state",
    "study",
    "objectives",
    "bounds",
}
STATUSES = ("failed", "running", "queued", "oom", "invalid", "done")


def planted(value: Any, texts: Iterator[str], key: str = "") -> Any:
    """Returns JSON data with a hostile text in the place of every free text."""
    if key in CLOSED:
        return value
    if isinstance(value, dict):
        return {name: planted(item, texts, name) for name, item in value.items()}
    if isinstance(value, list):
        return [planted(item, texts) for item in value]
    return next(texts) if isinstance(value, str) else value


def hostile_texts(seed: int) -> Iterator[str]:
    """Yields hostile texts for ever; every second one attacks in several ways."""
    random = Random(seed)
    valid = [text[:MAX_TEXT] for text in TEXTS if "\ud800" not in text]  # others are damage, see tests of the store
    while True:
        yield random.choice(valid)
        yield "".join(random.sample(valid, 3))[:MAX_TEXT]


def hostile_run(folder: Path, seed: int) -> Path:
    """Writes a run with two finished trials and one trial for each status; all their texts are hostile."""
    texts = hostile_texts(seed)
    values = [{"variant.temporal_window": value} for value in (0, 1, *["text"] * len(STATUSES))]
    rows = [make_row(f"r{index}", "label", of_row, [0]) for index, of_row in enumerate(values)]
    records = [
        make_record(
            f"r{index}-s0",
            0,
            {f"label {next(texts)}": 1500, "verb": 1200 + index},
            environment={"platform": next(texts)},
        )
        for index in range(2)
    ]
    run = make_run(rows, records, axes=("variant.temporal_window",), baseline="r0")
    save(replace(run, tuning=None), folder)
    for path in [folder / "plan.json", *folder.glob("trials/*/record.json")]:
        content = json.loads(path.read_text())
        axes = {"axes": ["variant.temporal_window"], "tuned": True} if "axes" in content else {}
        edit(path, **(planted(content, texts) | axes))
    (folder / "tuning").mkdir()
    studies = planted(json.loads(searched("val_top1").model_dump_json()), texts)
    (folder / "tuning/studies.json").write_text(json.dumps(studies))
    edit(folder / "tuning/studies.json")
    for index, status in enumerate(STATUSES):
        trial = saved_trial(folder, row=2 + index).path
        written = {
            "status": status,
            "message": next(texts),
            "stage": next(texts),
            "host": next(texts),
            "node": next(texts),
        }
        (trial / "status.json").write_text(json.dumps(written))
        log = b"".join(next(texts).encode("utf-8", "surrogatepass") + b"\n\xff\xfe" for _ in range(10))
        (trial / "log.txt").write_bytes(log)
    return folder


@pytest.mark.parametrize("seed", range(4))
def test_reports_show_hostile_text_as_text(tmp_path: Path, seed: int) -> None:
    run = hostile_run(tmp_path / "run", seed)
    written = {path.name: path for path in write_all(run)}
    assert {"index.html", "table.csv", "table.md", "table.tex", "trials.csv", "tuning.md", "tuning.csv"} <= set(written)
    for name, path in written.items():
        if path.suffix == ".png":
            continue
        text = path.read_bytes().decode("utf-8")
        assert unprintable(text) == [], name
        faults = {".csv": formulas, ".md": markdown_markup, ".html": html_faults}.get(path.suffix, lambda text: [])(
            text
        )
        assert not faults, name
    assert r"\input" not in written["table.tex"].read_text()


@pytest.mark.parametrize("seed", range(2))
def test_commands_show_hostile_text_as_text(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = hostile_run(tmp_path / "run", seed)
    (run / "tuning/studies.json").unlink()
    monkeypatch.setattr(StrandedDetector, "is_stranded", lambda self, parts: True)
    for screen in (watch._Lines, watch._Screen):
        monkeypatch.setattr(watch, "_Lines", screen)
        cli.main(["watch", str(run)])
    commands = [["status", str(run), "--all"], ["status", str(run), "--json"], ["list", "sweeps"], ["report", str(run)]]
    commands += [["logs", str(run), saved_trial(run, 2 + index).trial_id] for index in range(len(STATUSES))]
    commands += [["logs", str(run), text] for text in TEXTS]
    for command in commands:
        with suppress(SystemExit):  # argparse, for a text that looks like an option
            assert cli.main(command) in (0, 1, 2), command
        shown = capsys.readouterr()
        assert unprintable(shown.out + shown.err) == [], command
        long = [line for line in shown.out.splitlines() if len(line) > TEXT_LIMIT + 200]
        assert not long or "--json" in command, command


def test_a_long_message_is_cut_in_tables_and_whole_in_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = hostile_run(tmp_path / "run", 0)
    message = f"first {'word ' * 300}last"
    trial = saved_trial(run, 2)
    trial.write_status(TrialStatus("failed", message))
    assert load(run).statuses[trial.trial_id][1] == message
    cli.main(["status", str(run)])
    shown = capsys.readouterr().out
    assert message not in shown
    assert "last (`logs` shows all of it)" in shown
    write_all(run)
    page = (run / "report/index.html").read_text()
    assert message not in page
    assert "logs RUN TRIAL" in page
    cli.main(["logs", str(run), trial.trial_id])
    assert message in capsys.readouterr().out
