"""What the documentation says is true: links lead somewhere, commands are commands, examples give what they show."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import shlex
from pathlib import Path

import pytest

import harness
import reports
from harness.cli import _parser

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"^\s*(?:\$ )?python -m harness (.+)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def commands() -> list[tuple[str, str]]:
    """(page, arguments) of every harness command in a page or in the comment of a sweep file."""
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
    if placeholders:  # a form, not a command: at least the verb must exist
        assert _parser(arguments[0])
        return
    _parser(arguments[0]).parse_args(arguments)
    for word in arguments:
        if word.startswith(("sweeps/", "recipes/", "docs/")):
            assert (ROOT / word).exists(), f"{page}: {word}"


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 15


def modules() -> list[str]:
    names = []
    for package in (harness, reports):
        names += [info.name for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [name for name in names if not name.endswith("__main__")]


@pytest.mark.parametrize("name", modules())
def test_doctests_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
