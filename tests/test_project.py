"""The files around the code: hooks, continuous integration, templates, and no name of a package index."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"))
# split, so that this file does not name them
INDEX_HOSTS = [
    "pypi." + "org",
    "pythonhosted" + ".org",
    "download." + "pytorch",
    "--index" + "-url http",
    "anaconda" + ".org",
]


def load(name: str | Path) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_hooks_download_nothing_and_run_what_make_lint_runs() -> None:
    repositories = load(".pre-commit-config.yaml")["repos"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]
    assert {repository["repo"] for repository in repositories} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    lint = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nlint:")[1].split("\n\n")[0]
    entries = " ".join(hook["entry"] for hook in hooks)
    for tool in ("ruff check", "ruff format", "mypy"):
        assert tool in lint
        assert tool in entries
    assert "make schema" in entries


def test_the_workflow_runs_what_ci_runs() -> None:
    (job,) = load(".github/workflows/ci.yml")["jobs"].values()
    assert any(step.get("run", "").endswith(".ci/run") for step in job["steps"])
    python = next(step["with"]["python-version"] for step in job["steps"] if "python" in step.get("uses", ""))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={python}"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_issue_templates_ask_something_and_require_an_answer(template: Path) -> None:
    form = load(template)
    assert form["name"]
    assert form["description"]
    assert all(item["attributes"]["label"] for item in form["body"])
    assert any(item.get("validations", {}).get("required") for item in form["body"])
    ids = [item["id"] for item in form["body"]]
    assert len(ids) == len(set(ids))


def test_every_dependency_is_pinned() -> None:
    pinned = {
        line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [item for group in project["optional-dependencies"].values() for item in group]
    for item in [*project["dependencies"], *extras]:
        name = item.split(">=")[0].split("[")[0].lower().replace("_", "-")
        assert name in pinned, f"{name} has no line in constraints.txt"


def test_no_committed_file_names_a_package_index() -> None:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    for name in done.stdout.splitlines():
        path = ROOT / name
        if path.is_file():
            text = path.read_bytes().decode("utf-8", errors="ignore")
            assert not [host for host in INDEX_HOSTS if host in text], name
