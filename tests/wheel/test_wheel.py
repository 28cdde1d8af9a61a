"""A wheel is complete: installed without the clone, it lists, counts, scaffolds, checks, sweeps and reports."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.code_identity import trunk_digest
from tests.wheel.installed import ROOT, Installed, build, declared_packages, install

SWEEP = """\
question: Does a wheel answer a question?
data: {name: random, num_classes: 2, num_train: 8, num_val: 2, num_test: 2}
model: {embed_dim: 16, depth: 1, num_heads: 2, num_frames: 2, crop_size: 8}
variant: spatial_only
train: {num_steps: 2, batch_size: 2, device: cpu}
measure: {batch_size: 2, min_samples: 3, max_seconds: 0.05}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The installed wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    return install(build(folder), folder)


def folders_of_packages() -> Iterator[str]:
    """Folders of the tree that hold Python files or are data packages."""
    for top in ("harness", "variants", "reports"):
        yield from {str(path.parent.relative_to(ROOT)) for path in (ROOT / top).rglob("*.py")}
    yield from ("sweeps", "recipes")


def test_the_packages_of_pyproject_are_those_of_the_tree() -> None:
    packages, places = declared_packages()
    shipped = {folder: name for name, folder in places.items()}
    expected = set()
    for folder in folders_of_packages():
        top, *rest = Path(folder).parts
        expected.add(".".join([shipped[top], *rest]))
    assert sorted(packages) == sorted(expected), "correct tool.setuptools.packages in pyproject.toml"
    assert len(packages) == len(set(packages))


def test_the_wheel_holds_every_file_of_the_tree(wheel: Installed) -> None:
    names = set(zipfile.ZipFile(wheel.wheel).namelist())
    _, places = declared_packages()
    for name, folder in places.items():
        done = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", folder],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        for file in done.stdout.splitlines():
            if (ROOT / file).exists():
                inside = name.replace(".", "/") + file.removeprefix(folder)
                assert inside in names, f"{file} is not in the wheel: see tool.setuptools.package-data"
    assert {"harness/py.typed", "harness/shipped/sweeps/schema.json", "harness/reports/common/index.html.j2"} <= names


def test_the_clone_is_not_seen(wheel: Installed) -> None:
    done = wheel.run(
        "python", "-c", "import harness, harness.reports; print(harness.__file__, harness.reports.__file__)"
    )
    assert [Path(file) for file in done.stdout.split()] == [
        wheel.site_packages / "harness/__init__.py",
        wheel.site_packages / "harness/reports/__init__.py",
    ]


def test_everything_is_listed(wheel: Installed) -> None:
    variants = wheel.harness("list", "variants")
    assert all(f"{path.stem} " in variants for path in (ROOT / "variants").glob("[a-z]*.py"))
    reports = wheel.harness("list", "reports")
    assert {"table", "html", "trials"} <= {line.split()[0] for line in reports.splitlines()}
    for what in ("sweeps", "recipes"):
        listed = {Path(line.split()[0]) for line in wheel.harness("list", what).splitlines()}
        assert {path.name for path in listed} == {path.name for path in (ROOT / what).glob("*.yaml")}
        assert all(path.is_file() and path.is_relative_to(wheel.site_packages) for path in listed)


def test_a_shipped_sweep_can_be_planned_by_its_printed_path(wheel: Installed) -> None:
    listed = [line.split()[0] for line in wheel.harness("list", "sweeps").splitlines()]
    (with_base,) = [path for path in listed if path.endswith("paper_table3.yaml")]
    assert "4 rows, 16 trials" in wheel.harness("sweep", with_base, "--dry-run")


def test_cost_needs_no_clone(wheel: Installed) -> None:
    assert "mixing" in wheel.harness("cost", "mixing", "--set", "model.num_frames=4")


def test_new_writes_into_the_current_folder_and_check_finds_it(wheel: Installed) -> None:
    file, command = wheel.harness("new", "variant", "of_mine").splitlines()[:2]
    assert (wheel.cwd / file).resolve() == wheel.cwd.resolve() / "of_mine.py"
    assert not [*wheel.site_packages.rglob("of_mine*")]
    assert command == "python -m harness check of_mine --variants ."
    done = wheel.run(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr
    elsewhere = wheel.cwd / "mine"
    elsewhere.mkdir()
    wheel.harness("new", "variant", "of_mine_too", "--variants", "mine")
    assert (elsewhere / "of_mine_too.py").is_file()


def test_a_sweep_runs_and_is_reported(wheel: Installed) -> None:
    repository = ["git", "-C", str(wheel.cwd.parent), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "a project around the environment"]):
        subprocess.run([*repository, *command], check=True)
    (wheel.cwd / "small.yaml").write_text(SWEEP, encoding="utf-8")
    wheel.harness("sweep", "small.yaml")
    run = wheel.cwd / "runs/small"
    assert (run / "report/index.html").is_file()
    (record,) = [json.loads(path.read_text()) for path in run.rglob("record.json")]
    environment = record["environment"]
    assert (environment["git_commit"], environment["git_dirty"]) == (None, None)
    assert environment["trunk"] == trunk_digest().hex()[:12], "the hash of the same code in the source tree"


def test_the_snapshot_for_cluster_jobs_is_whole(wheel: Installed) -> None:
    code = (
        "import os, sys; from pathlib import Path; from harness.launch.snapshot import take;"
        "taken = take(Path('run'), []); os.environ['PYTHONPATH'] = str(taken.path.resolve());"
        "os.execv(sys.executable, [sys.executable, '-m', 'harness', 'list', 'variants'])"
    )
    done = wheel.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == wheel.harness("list", "variants")
    (taken,) = (wheel.cwd / "run/code").iterdir()
    found = {str(path.relative_to(taken)) for path in taken.rglob("*.py")}
    assert found == {
        str(path.relative_to(ROOT)) for top in ("harness", "variants") for path in (ROOT / top).rglob("*.py")
    }
