"""Structure of the code: imports point down, files and folders are small, the linters pass, no machine is named."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: from top to bottom; a module may import its own room and those after it
ROOMS = [
    "harness.__main__", "harness.cli", "harness.python_api", "harness.running", "harness.bench", "harness.contract", "harness.tune", "harness.launch", "harness.worker", "harness.measure",
    "harness.train", "harness.model", "harness.sweep", "harness.data", "harness.stats", "harness.quantities",
    "harness.store", "harness.record", "harness.registry", "harness.proofs", "harness.code_identity", "harness.api", "harness.nn",
    "harness.errors", "harness.aliases", "harness.locations", "harness.units", "harness.fields", "harness.bounds", "harness.text",
]  # fmt: skip
#: folders that hold one file for each item of a kind, and so have no limit
ONE_FILE_PER_ITEM = {"harness/cli", "variants"}
#: what may compose reports with the rest
TOP = ("harness.cli", "harness.python_api", "harness.running")
#: what reports/ may import: they read records and never start anything
REPORTS_MAY = {
    "harness",
    "harness.fields",
    "harness.quantities",
    "harness.record",
    "harness.stats",
    "harness.units",
    "harness.errors",
    "harness.store",
    "harness.text",
}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Returns the modules that a file imports, at the top or inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(name: str) -> str | None:
    return next((item for item in ROOMS if name == item or name.startswith(item + ".")), None)


@pytest.mark.parametrize("path", modules("harness"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    own = room(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    if own is None:  # harness/__init__.py
        return
    for name in imported(path):
        other = room(name)
        assert other is None or ROOMS.index(other) >= ROOMS.index(own), f"{own} imports {name}, which lies above it"
        assert not name.startswith(("variants", "harness.variants")), f"{name}: variants are found by file, not name"
        assert not name.startswith("reports"), f"{own}: the package is called harness.{name}"
        assert not name.startswith("harness.reports") or own in TOP, f"{own} imports {name}"


@pytest.mark.parametrize("path", modules("variants"), ids=lambda path: path.stem)
def test_a_variant_imports_the_api_only(path: Path) -> None:
    allowed = (
        "harness.api",
        "torch",
        "einops",
        "collections",
        "typing",
        "math",
        "dataclasses",
        "functools",
        "itertools",
        "__future__",
    )
    for name in imported(path):
        assert name == "harness.api" or name.startswith(allowed), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", modules("reports"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_report_knows_records_and_no_torch(path: Path) -> None:
    for name in imported(path):
        top = name.split(".")[0]
        assert top not in ("torch", "variants", "reports"), f"{path.name} imports {name}"
        if top == "harness":
            assert any(name == item or name.startswith(item + ".") for item in REPORTS_MAY), (
                f"{path.name} imports {name}"
            )


#: the only lines outside harness/launch/slurm/ that may know SLURM, by file, as regular expressions
MAY_KNOW_SLURM = {
    "harness/sweep/launch/config.py": r".*",  # its fields of `launch:`
    "harness/sweep/launch/launcher_names.py": r'BUILT_IN = .*"slurm": "harness\.launch\.slurm\.launcher:Slurm".*',
    "harness/launch/launchers.py": r'UNPREFIXED = "slurm" .*',
    # the job id in the environment record
    "harness/measure/machine/environment.py": r' *"slurm": slurm_job\(\),|def slurm_job\(.*|.*"SLURM_JOB_ID".*|.*The SLURM job .*',
}


def test_slurm_is_known_to_its_launcher_alone() -> None:
    words = re.compile(r"slurm|sbatch|squeue|scancel|sacct|scontrol|submitit|\bsrun\b", re.IGNORECASE)
    found = []
    for path in [*modules("harness"), *modules("variants"), *modules("reports")]:
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("harness/launch/slurm/"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if words.search(line) and not re.fullmatch(MAY_KNOW_SLURM.get(name, ""), line):
                found.append(f"{name}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


def python_files() -> list[Path]:
    return [
        path for folder in ("harness", "variants", "reports", "tests", "benchmarks", "docs") for path in modules(folder)
    ]


def test_files_stay_readable() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert {name: number for name, number in lines.items() if number > 250} == {}


def test_folders_stay_readable() -> None:
    found = Counter(str(path.parent.relative_to(ROOT)) for path in python_files() if path.stem != "__init__")
    crowded = {folder: number for folder, number in found.items() if folder not in ONE_FILE_PER_ITEM}
    assert {folder: number for folder, number in crowded.items() if number > 15} == {}


@pytest.mark.parametrize(
    "tool", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=["ruff", "format", "mypy"]
)
def test_tools_find_nothing(tool: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_nothing_committed_names_a_machine() -> None:
    words = ["/wor" + "k/", "/roo" + "t/", "../sha" + "red", "/opt/" + "wheels"]
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    files = done.stdout.split() or [str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py")]
    for name in files:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".yaml", ".toml", ".txt", ".cff", ".json", "") and path.is_file():
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not any(word in text for word in words), name
