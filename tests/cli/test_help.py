"""`--help`: verbs in groups, none that only the program starts, examples that the parser takes."""

from __future__ import annotations

import shlex
import tomllib

import pytest

from harness import __version__
from harness.cli import VERBS, _parser, main
from harness.cli.common.verbs import GROUPS, HIDDEN, SHOWN
from tests.e2e import ROOT


def test_help_groups_the_verbs_and_hides_what_people_do_not_start(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert list(GROUPS) == ["run", "inspect", "measure", "extend", "cluster"]
    for group, verbs in GROUPS.items():
        block = shown.partition(f"\n{group}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in block.splitlines()] == list(verbs)
    assert not [name for name in HIDDEN if f"\n  {name} " in shown]
    assert {*SHOWN, *HIDDEN} == {*VERBS}


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert capsys.readouterr().out == f"{project['name']} {__version__}\n"
    assert [*project["scripts"]] == [project["name"]]
    assert (ROOT / "README.md").read_text(encoding="utf-8").startswith(f"# {project['name']}\n")


@pytest.mark.parametrize("verb", SHOWN)
def test_examples_are_shown_and_can_be_parsed(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    shown = capsys.readouterr().out
    assert len(SHOWN[verb].examples) == 2
    for example in SHOWN[verb].examples:
        assert f"python -m harness {example}" in shown
        assert _parser(verb).parse_args(shlex.split(example.partition(" > ")[0])).verb == verb
