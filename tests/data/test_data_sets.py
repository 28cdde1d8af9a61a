"""A data set is one file: the example of docs/data.md, added to a copy of the tree, is planned, trained and reported."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.data import sets
from harness.data.sets import data_sets
from harness.errors import UserError
from tests.e2e import environment

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/data.md").read_text(encoding="utf-8")
(FILE,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SWEEP = """\
question: Is grey enough?
data: {name: grey}
model: {num_frames: 2, crop_size: 8}
variant: spatial_only
train: {num_steps: 30, batch_size: 8, device: cpu}
measure: {batch_size: 2, min_samples: 3, max_seconds: 0.1}
seeds: 1
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the tree with one more file: a data set."""
    for folder in ("harness", "variants", "reports"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "harness/data/sets/grey.py").write_text(FILE, encoding="utf-8")
    (tmp_path / "grey.yaml").write_text(SWEEP, encoding="utf-8")
    return tmp_path


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=copy, env=environment(copy), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_planted_file_is_planned_trained_and_reported(copy: Path) -> None:
    done = run(copy, "sweep", "grey.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    (record_file,) = (copy / "runs/grey").rglob("record.json")
    record = json.loads(record_file.read_text())
    assert record["data_identity"] == "grey/v1"
    assert record["ceilings"] == {"chance": {"shade": 0.5}}
    table = (copy / "runs/grey/report/table.md").read_text()
    assert "shade top-1, %" in table
    assert re.search(r"^\| base .*\| 100\.0 ", table, re.MULTILINE), table
    refused = run(copy, "sweep", "grey.yaml", "--set", "data.num_shades=300")
    assert refused.returncode == 2
    assert "data.num_shades=300: a byte has 256 shades" in refused.stderr
    unknown = run(copy, "sweep", "grey.yaml", "--set", "data.name=gray")
    assert unknown.returncode == 2
    assert "grey, moving_shapes, random, video_list" in unknown.stderr


def test_fields_that_say_where_data_lie_are_no_part_of_a_trial(copy: Path) -> None:
    code = (
        "import sys, harness\n"
        "for setting in sys.argv[1:]:\n"
        "    print(harness.plan('grey.yaml', set=[setting]).trials[0].trial_id)"
    )
    settings = ("data.cache=a", "data.cache=b", "data.num_shades=3")
    done = subprocess.run(
        [sys.executable, "-c", code, *settings],
        cwd=copy, env=environment(copy), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, same, other = done.stdout.split()
    assert first == same != other


def test_every_file_is_found_under_its_name() -> None:
    files = {path.stem for path in Path(sets.__file__).parent.glob("*.py")} - {"__init__"}
    assert {*data_sets()} == files == {"moving_shapes", "random", "video_list"}


@pytest.mark.parametrize(("what", "names"), [("data", [*data_sets()]), ("recipes", ["recipes/motion_tiny.yaml"])])
def test_they_are_listed(
    what: str, names: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["list", what]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == names
    assert all(len(line.split()) > 3 for line in lines)


def test_finding_data_sets_imports_neither_torch_nor_pyav() -> None:
    code = "import sys, harness.sweep.plan, harness.data; print(sorted({'torch', 'av', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "defines exactly one subclass of harness.data.data_set.DataSet; found: none"),
        (FILE.replace('Literal["grey"]', 'Literal["gray"]'), r'GreyConfig\.name must be Literal\["planted"\]'),
        (FILE.replace("class GreyClips(ClipSource)", "class GreyClips(DataSet)"), "found: Grey, GreyClips"),
    ],
)
def test_a_file_that_is_no_data_set_is_refused_with_the_reason(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(sets, "__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "harness.data.sets.planted", raising=False)
    data_sets.cache_clear()
    try:
        with pytest.raises(UserError, match=message):
            data_sets()
    finally:
        data_sets.cache_clear()
        sys.modules.pop("harness.data.sets.planted", None)


def test_nothing_else_asks_for_the_name_of_a_data_set() -> None:
    """Searches for modules that compare the name or the class of a data set: its methods answer instead."""
    pattern = re.compile(r"data\.name *[!=]=|isinstance\([^)]*(MovingShapes|VideoList|Random)\w*")
    for path in [*(ROOT / "harness").rglob("*.py"), *(ROOT / "reports").rglob("*.py")]:
        if path.parent.name != "sets":
            assert not pattern.search(path.read_text(encoding="utf-8")), path
