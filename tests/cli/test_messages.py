"""Messages: what they call things for each reader, and what they suggest for a name that is unknown."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness
from harness import quantities
from harness.aliases import OTHER_NAMES, nearest_name
from harness.cli import main
from harness.cli.common.verbs import SHOWN
from harness.errors import ARGUMENTS, UserError, on_command_line, worded
from harness.registry import variant_names
from harness.sweep.blocks import NAMED_MODELS, PLAIN_MODELS
from harness.sweep.reading.document import KEYS
from tests.e2e import MINI, ROOT, write_sweep

CONTENT: dict[str, Any] = yaml.safe_load(MINI)


@pytest.mark.parametrize(
    ("written", "in_python"),
    [
        ("Choose another with --runs DIR, or add --replace-plan.", "Choose another with runs=DIR, or add replace_plan=True."),
        ("--set train.x=3  train.x: no such field", "set train.x=3  train.x: no such field"),
        ("--variants a/b: no such folder", "variants=a/b: no such folder"),
        ("--only: leave it out. See --runs.", "only: leave it out. See runs=."),
        ("3 by other code (`--stale rerun` repeats them)", "3 by other code (`rerun_stale=True` repeats them)"),
        ("run `python -m harness sweep x.yaml --runs y`", "run `python -m harness sweep x.yaml --runs y`"),
        ("Run the same command again.", "Run the same call again."),
        ("--set a=3:3  a: text", "set a=3:3  a: text"),
        ("--rows 'a b': no row", "rows='a b': no row"),
        ("--runserver and --by op", "--runserver and --by op"),
    ],
)  # fmt: skip
def test_options_become_arguments_where_python_calls(written: str, in_python: str) -> None:
    assert worded(written) == in_python
    assert str(UserError(written)) == in_python
    with on_command_line():
        assert worded(written) == written
    assert worded(written) == in_python, "the words of the command line end with the command"


def test_every_argument_exists() -> None:
    functions = [getattr(harness, name) for name in harness.__all__ if name != "UserError"]
    known = {parameter for function in functions for parameter in inspect.signature(function).parameters}
    assert {re.split(r"[= ]", argument)[0] for argument in ARGUMENTS.values()} <= known


def messages_with_options() -> list[tuple[str, str]]:
    """Texts with an option, without docstrings, outside of the command line and of programs that are started."""
    found = []
    for path in (ROOT / "harness").rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(("harness/cli/", "harness/launch/slurm/", "harness/launch/testing/")):
            continue
        nodes = [*ast.walk(ast.parse(path.read_text("utf-8")))]
        apart = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}  # docstrings
        commands = [node for node in nodes if isinstance(node, ast.JoinedStr) and "python -m" in ast.unparse(node)]
        apart |= {id(part) for node in commands for part in node.values}
        texts = [node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in apart]
        found += [(name, text) for text in texts if isinstance(text, str) and re.search(r"--[a-z]+", text)]
    return found


def test_no_message_shows_python_an_option() -> None:
    found = [(name, text) for name, text in messages_with_options() if " " in text.strip() and "python -m" not in text]
    assert len(found) > 8
    assert [(name, text) for name, text in found if re.search(r"--[a-z]+", worded(text))] == []


def test_every_hint_leads_to_something_that_exists() -> None:
    models = [*PLAIN_MODELS.values(), *(model for named in NAMED_MODELS.values() for model in named.values())]
    fields = {field for model in models for field in model.model_fields}
    values = {"adamw", "bf16", "fp32", "cuda", "temporal_window"}
    named = {name for models in NAMED_MODELS.values() for name in models}
    known = {*fields, *values, *named, *KEYS, *SHOWN, *variant_names(), "macs", "memory", "latency"}
    assert set(OTHER_NAMES) - known - {item.key for item in quantities.QUANTITIES} == set()


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("train.lr=0.1", "learning_rate"), ("lr=0.1", "train.learning_rate"), ("model.frames=4", "num_frames"),
        ("num_framez=4", "model.num_frames"), ("data.num_frames=4", "model.num_frames"), ("train.epochs=3", "num_steps"),
        ("variant=timesformer", "divided"), ("variant=vivit", "factorised_encoder"), ("variant=x-vit", "mixing"),
        ("variant=X-ViT", "mixing"), ("variant=swin", "window3d"), ("readout=cls", "class_token"),
        ("train.optimizer=adam", "adamw"), ("data=kinetics", "video_list"), ("seed=3", "seeds"),
    ],
)  # fmt: skip
def test_other_names_are_hinted(setting: str, meant: str) -> None:
    path, value = setting.split("=")
    content = {name: block for name, block in CONTENT.items() if name not in ("vary", "baseline")}
    with pytest.raises(UserError, match=rf"Did you mean {re.escape(meant)}\?"):
        harness.plan(content, set={path: int(value) if value.isdigit() else value})


@pytest.mark.parametrize(
    ("verb", "meant"), [("plan", "sweep"), ("run", "sweep"), ("stat", "status"), ("benhc", "bench")]
)
def test_an_unknown_verb_is_answered_by_the_verbs(verb: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb]) == 2
    said = capsys.readouterr().err
    assert f"Did you mean {meant}?" in said
    assert all(name in said for name in SHOWN)


def test_what_resembles_nothing_has_no_hint() -> None:
    assert [nearest_name(name, [*SHOWN]) for name in ("xyzzy", "planet", "help")] == [None] * 3


def test_a_missing_file_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        harness.plan("nope.yaml")
    assert str(caught.value).count("nope.yaml") == 1
    assert "`python -m harness list sweeps` shows" in str(caught.value)
    (tmp_path / "link.yaml").symlink_to("link.yaml")
    with pytest.raises(UserError, match=r"^link\.yaml  a link that leads nowhere$"):
        harness.plan("link.yaml")


def test_a_wrong_folder_is_one_fault(tmp_path: Path) -> None:
    rows = {"vary": [{"grid": {"variant": ["joint", "divided", "mine"]}}], "baseline": None}
    for call in (
        lambda: harness.plan({**CONTENT, **rows}, variants=tmp_path / "none"),
        lambda: harness.plan(write_sweep(tmp_path), variants=[tmp_path / "none"]),
        lambda: harness.count("joint", variants=tmp_path / "none"),
        lambda: harness.check("joint", "divided", variants=tmp_path / "none"),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert str(caught.value).count("no such folder") == 1
        assert len(caught.value.faults) == 1
