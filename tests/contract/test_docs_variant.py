"""The example of docs/variants.md keeps the contract, and its sweep runs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness.api import MaskedVariant, Variant
from harness.cli import main
from harness.cli.new import SCAFFOLD
from harness.contract import CHECKS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "variants.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """Return the only code block of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files of the page into a working folder."""
    place = tmp_path_factory.mktemp("docs")
    (place / "my_variants").mkdir()
    (place / "my_variants" / "causal.py").write_text(block("python"))
    (place / "causal.yaml").write_text(block("yaml"))
    return place


def test_the_example_keeps_the_contract(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "causal", "--variants", str(folder / "my_variants")]) == 0
    assert "1 of 1 variants keep the contract" in capsys.readouterr().out


@pytest.mark.slow
def test_the_examples_sweep_runs(folder: Path) -> None:
    command = [
        sys.executable, "-m", "harness", "sweep", "causal.yaml", "--variants", "my_variants", "--only", "variant.name=causal",
        "--only", "variant.reach=1", "--set", "seeds=1", "--set", "train.num_steps=2", "--set", "data.num_train=64",
        "--set", "data.num_val=8", "--set", "data.num_test=8", "--set", "measure.max_seconds=0.1", "--jobs", "1",
    ]  # fmt: skip
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(folder.glob("runs/causal/**/record.json"))) == 1


def test_the_examples_sweep_costs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", str(folder / "causal.yaml"), "--variants", str(folder / "my_variants")]) == 0
    assert capsys.readouterr().out.count("exact") == 3


def test_a_masked_variant_takes_few_lines() -> None:
    """The scaffold, and the example but for its refusals: 25 to 40 lines."""
    scaffold = SCAFFOLD.substitute(name="my_idea", class_name="MyIdea")
    assert 25 <= len(scaffold.splitlines()) <= 40
    assert len(block("python").splitlines()) <= 45


def test_the_scaffold_keeps_the_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "variant", "my_idea", "--to", str(tmp_path)]) == 0
    assert main(["check", "my_idea", "--variants", str(tmp_path)]) == 0
    assert "FAIL" not in capsys.readouterr().out


def test_the_page_names_every_check_and_every_part() -> None:
    for check in CHECKS:
        words = {"determinism": "determinism in eval mode", "batch": "clips of a batch", "compile": "torch.compile"}
        assert words.get(check, check) in PAGE
    table = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert all(hasattr(MaskedVariant, name) for name in table)
    methods = {name for part in (Variant, MaskedVariant) for name in vars(part) if not name.startswith("_")}
    undocumented = methods - set(re.findall(r"\w+", PAGE))
    assert undocumented <= {"layout"}


def test_the_entry_point_is_the_one_that_is_read() -> None:
    from harness.registry import ENTRY_POINT_GROUP

    assert ENTRY_POINT_GROUP in tomllib.loads(block("toml"))["project"]["entry-points"]
