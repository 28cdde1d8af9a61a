"""How many files a new variant and a new metric touch: added to a copy of the tree, seen in every output, counted."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from tests.e2e import MINI, ROOT, command, environment

FOLDERS = ("harness", "variants", "reports", "docs", "sweeps", "recipes")
FIELD = '    fake_score_mj: float | None = Field(None, description="a metric of this test")\n'
LINE = """\
    cost("fake_score_mj", "mJ", "f", "fake score", "fake score of a model", "a metric of this test",
         "fake_score_mj", direction="higher"),
"""
METRIC = '''
def measure(model, trial, labels):
    """Return the number of parameter tensors, in a unit of its own."""
    return len(list(model.parameters())) / 4
'''
ROW = "| `Costs.fake_score_mj` | a metric of this test | counted | |\n"
SEARCH = """
import sys
from pathlib import Path
from harness.store.load import load
from harness.sweep.tune.config import TuneConfig
from harness.tune.objective import values_of
space = {"train.learning_rate": {"low": 1, "high": 2}}
config = TuneConfig(num_trials=1, space=space, objective=["fake_score_mj", "val_top1"], label="verb")
(record,) = load(Path("runs/mini")).records.values()
print(*values_of(record, config), config.needs_timings)
"""
PLOT = """
import sys
from pathlib import Path
from harness.reports.plot import accuracy_against
from harness.store.load import load
page = accuracy_against(load(Path("runs/mini")), "fake_score_mj")
print(page.figure.axes[0].get_xlabel(), sys.modules["harness"].__file__)
"""


def copy_of_the_tree(place: Path) -> Path:
    """The tree as a clone has it."""
    for folder in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, place / folder, ignore=ignored)
    return place


def touched(place: Path) -> set[str]:
    """Files of a copy that are new or differ from the tree."""
    paths = [path for folder in FOLDERS for path in (place / folder).rglob("*") if path.is_file()]
    names = {path: path.relative_to(place) for path in paths if "__pycache__" not in path.parts}
    changed = [
        n for path, n in names.items() if not (ROOT / n).is_file() or (ROOT / n).read_bytes() != path.read_bytes()
    ]
    return {str(name) for name in changed}


def insert(path: Path, before: str, text: str) -> None:
    content = path.read_text(encoding="utf-8")
    assert content.count(before) == 1, f"{path}: {before!r} is not there once"
    path.write_text(content.replace(before, text + before), encoding="utf-8")


def run(place: Path, *arguments: str | Path) -> str:
    """Runs the copy's harness; `-c CODE` runs code with it."""
    call = [command()[0], *arguments] if arguments[0] == "-c" else command(*arguments)
    done = subprocess.run(
        call, cwd=place, env=environment(place), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def with_metric(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with one more metric, and the run of a sweep of one trial in it."""
    place = copy_of_the_tree(tmp_path_factory.mktemp("metric"))
    (place / "harness/measure/metrics/fake_score_mj.py").write_text(METRIC, encoding="utf-8")
    insert(place / "harness/record.py", "    memory: MeasuredMemory | None = None\n", FIELD)
    insert(place / "harness/quantities.py", '    cost("noise_probe_ms"', LINE)
    insert(place / "docs/measuring.md", "| `Timings.latency` |", ROW)
    (place / "mini.yaml").write_text(MINI.replace("[0, 1]", "[0]"), encoding="utf-8")
    run(place, "sweep", "mini.yaml")
    return place


def test_a_metric_touches_four_files(with_metric: Path) -> None:
    assert touched(with_metric) == {
        "harness/measure/metrics/fake_score_mj.py", "harness/record.py", "harness/quantities.py", "docs/measuring.md",
    }  # fmt: skip


def test_a_metric_is_measured_and_stands_in_every_table(with_metric: Path) -> None:
    folder = with_metric / "runs/mini"
    records = [json.loads(path.read_text()) for path in folder.glob("trials/*/record.json")]
    (value,) = {record["costs"]["fake_score_mj"] for record in records}
    assert value > 1
    report = folder / "report"
    for name in ("table.md", "table.tex", "index.html"):
        text = unescape((report / name).read_text(encoding="utf-8")).replace("\\_", "_")
        assert "fake score, mJ" in text, name
        assert f"{value:.3g}" in text, name
    assert "fake score of a model (f): a metric of this test" in unescape((report / "index.html").read_text())
    for name, column in (("table.csv", "fake_score_mj_median"), ("trials.csv", "fake_score_mj")):
        with (report / name).open(newline="") as stream:
            assert {float(line[column]) for line in csv.DictReader(stream)} == {value}, name


def test_a_metric_can_be_an_axis_of_a_plot(with_metric: Path) -> None:
    out = run(with_metric, "-c", PLOT)
    assert out.startswith("fake score of a model, mJ")
    assert str(with_metric) in out


def test_a_metric_can_be_an_objective_of_a_search(with_metric: Path) -> None:
    value, accuracy, is_measured = run(with_metric, "-c", SEARCH).split()
    assert float(value) > 1
    assert 0 <= float(accuracy) <= 1
    assert is_measured == "True"


def test_a_second_checkout_uses_its_own_reports_and_variants(with_metric: Path) -> None:
    code = (
        "import harness.reports as r, harness.variants as v, harness; print(r.__path__, v.__path__, harness.__path__)"
    )
    assert run(with_metric, "-c", code).split() == [
        f"['{with_metric / name}']" for name in ("reports", "variants", "harness")
    ]


def test_a_variant_touches_one_file(tmp_path: Path) -> None:
    place = copy_of_the_tree(tmp_path)
    text = (place / "variants/joint.py").read_text(encoding="utf-8")
    (place / "variants/one_more.py").write_text(text, encoding="utf-8")
    assert touched(place) == {"variants/one_more.py"}
    out = run(place, "cost", "one_more", "--set", "model.embed_dim=16", "--set", "model.num_heads=2")
    assert "exact" in out
