"""The documentation is correct: links have targets, commands are valid, examples give the documented output."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import units
from harness.cli import _parser
from tests.e2e import environment

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
EXAMPLE = re.compile(r"([\d_.]+) -> '([^']+)'")
COMMAND = re.compile(r"^\s*(?:\$ )?python -m harness (.+)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_relative_links_have_targets(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def commands() -> list[tuple[str, str]]:
    """Returns (page, arguments) of every harness command in a page or in a comment of a sweep file."""
    found = []
    for page in [*PAGES, *sorted((ROOT / "sweeps").glob("*.yaml"))]:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        text = re.sub(r"^# ?", "", text, flags=re.MULTILINE) if page.suffix == ".yaml" else text
        found += [(page.name, line) for line in COMMAND.findall(text)]
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_are_accepted_by_the_command_line(page: str, line: str) -> None:
    arguments = shlex.split(line, comments=True)
    placeholders = [word for word in arguments if re.fullmatch(r"[A-Z_]{2,}|\.\.\.|\[.*", word)]
    if placeholders:  # a template, not a command: only the verb is checked
        assert _parser(arguments[0])
        return
    _parser(arguments[0]).parse_args(arguments)
    for word in arguments:
        if word.startswith(("sweeps/", "recipes/", "docs/")):
            assert (ROOT / word).exists(), f"{page}: {word}"


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 15


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copies everything that commands read, so that they write nothing into the repository."""
    for folder in ("harness", "variants", "reports", "sweeps", "recipes"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def cheap(line: str) -> list[str] | None:
    """Returns a fast form of a command of the README; None if it trains, exports data or needs a finished run."""
    words = shlex.split(line, comments=True)
    if words[0] in ("list", "new") or words == ["check", "my_scheme"]:
        return words
    if words[0] == "sweep" and "sweeps/from_videos.yaml" not in words:  # the videos do not exist
        return [word for word in words if word != "--dry-run"] + ["--dry-run"]
    return ["cost", "sweeps/window_size.yaml"] if words[0] == "cost" else None  # the published table is slow


def test_fast_commands_of_the_readme_succeed(copy: Path) -> None:
    lines = [words for page, line in commands() if page == "README.md" and (words := cheap(line))]
    assert [words[0] for words in lines].count("sweep") >= 2
    assert {"list", "cost", "new", "check"} <= {words[0] for words in lines}
    for words in {" ".join(words): words for words in lines}.values():
        done = subprocess.run(
            [sys.executable, "-m", "harness", *words],
            cwd=copy, env=environment(copy), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        assert done.stdout.strip(), words
    assert (copy / "variants/my_scheme.py").exists()
    assert not (ROOT / "variants/my_scheme.py").exists()
    assert not (copy / "runs").exists()  # --dry-run writes nothing


def test_the_variant_of_the_readme_passes_the_check(copy: Path) -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    (text,) = [block for block in blocks if "MaskedVariant" in block]
    assert len(text.splitlines()) <= 40
    (copy / "mine").mkdir()
    (copy / "mine/causal.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "harness", "check", "causal", "--variants", "mine"],
        cwd=copy, env=environment(copy), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_figure_of_the_readme_is_small() -> None:
    (figure,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert (ROOT / figure).stat().st_size < 200_000


@pytest.mark.parametrize("name", ["macs", "count", "num_bytes", "milliseconds", "percent", "duration"])
def test_examples_of_units_give_the_documented_text(name: str) -> None:
    function = getattr(units, name)
    examples = EXAMPLE.findall(function.__doc__)
    assert examples
    for value, text in examples:
        assert function(float(value)) == text
