"""What surrounds a command: files that fail in every way that Linux knows, terminals that know ASCII only."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.cli import main
from harness.cli.common.os_errors import os_error_line
from harness.store import Store
from harness.text.readable import make_output_readable
from tests.e2e import MINI, write_sweep

#: what a disk, a file server, a limit of the user or a path can answer
ERRNOS = (
    "EACCES", "EAGAIN", "EBUSY", "EDQUOT", "EEXIST", "EFBIG", "EHOSTDOWN", "EIO", "EISDIR", "ELOOP", "EMFILE",
    "ENAMETOOLONG", "ENFILE", "ENODEV", "ENOENT", "ENOLCK", "ENOMEM", "ENOSPC", "ENOTDIR", "ENOTEMPTY", "ENXIO", "EPERM",
    "EROFS", "ESTALE", "ETIMEDOUT", "ETXTBSY", "EXDEV",
)  # fmt: skip
COMMANDS = {
    "sweep": "sweep mini.yaml --only seed=77",
    "dry run": "sweep mini.yaml --dry-run --only seed=0",
    "cost": "cost mini.yaml",
    "status": "status runs/mini --all",
    "watch": "watch runs/mini --interval 1s",
    "report": "report runs/mini",
    "retry": "retry runs/mini",
    "clean": "clean runs/mini --stale",
    "cancel": "cancel runs/mini",
    "logs": "logs runs/mini seed=0",
    "new": "new variant of_mine --to mine",
    "check": "check of_mine --variants mine",
    "list": "list variants --variants mine",
    "schema": "schema --variants mine",
    "weights": "weights vit.safetensors --for mini.yaml",
    "data": "data export moving_shapes --to videos --num-train 1 --num-val 1 --num-test 1",
}
ASCII = COMMANDS | {
    "cost of rows": "cost wide.yaml --by op",
    "list of sweeps": "list sweeps",
    "an unknown verb": "größe",
    "a bad value": "sweep wide.yaml --dry-run --set variant=größe",
    "an unknown label": "sweep wide.yaml --only größe×中",
}
CALLS = {
    "open": [(builtins, "open"), (io, "open"), (os, "open")],
    "look": [(os, "stat"), (os, "lstat"), (os, "scandir"), (os, "listdir")],
    "change": [(os, "mkdir"), (os, "replace"), (os, "rename"), (os, "unlink"), (os, "rmdir")],
}


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sweep, its planned run, and a folder for variants."""
    monkeypatch.chdir(tmp_path)
    plan = harness.plan(write_sweep(tmp_path, MINI.replace("[0, 1]", "[0]")))
    store = Store(tmp_path / "runs/mini")
    store.path.mkdir(parents=True)
    store.write_plan(plan.to_file())
    for trial in plan.trials:
        store.trial(trial.trial_id).create({"trial": trial.config, "launch": {"variant_dirs": []}})
        store.trial(trial.trial_id).log_file.write_text("Größe ± 中\n", encoding="utf-8")
    (tmp_path / "mine").mkdir()
    (tmp_path / "vit.safetensors").write_bytes(b"\0" * 16)
    return tmp_path


@contextmanager
def failing(kind: str, number: int, folder: Path) -> Iterator[list[str]]:
    """Let every call of a kind fail for paths in a folder; yields the calls that failed."""
    failed: list[str] = []

    def wrapped(real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(path: Any = ".", *arguments: Any, **options: Any) -> Any:
            text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
            if text and (str(folder) in str(text) or not os.path.isabs(text)):
                failed.append(name)
                raise OSError(number, os.strerror(number), str(text))
            return real(path, *arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for module, name in CALLS[kind]:
            patch.setattr(module, name, wrapped(getattr(module, name), name))
        yield failed


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("kind", CALLS)
def test_a_file_that_fails_costs_one_line(
    command: str, kind: str, scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ERRNOS:
        with failing(kind, getattr(errno, name), scene) as failed:
            code = main(command.split())
        said = capsys.readouterr()
        assert code in (0, 1, 2), name
        assert "Traceback" not in said.err + said.out
        if code == 2:
            assert 1 <= len(said.err.splitlines()) <= 3, (name, said.err)
            assert len(max(said.err.splitlines(), key=len)) < 1000
        if not failed:
            break  # this command makes no such call


@pytest.mark.parametrize("name", ERRNOS)
def test_the_line_names_the_file_the_cause_and_a_way_out(name: str) -> None:
    number = getattr(errno, name)
    line = os_error_line(OSError(number, os.strerror(number), "runs/x"), "report")
    assert line is not None
    assert line.startswith(f"runs/x: {os.strerror(number)}. ")
    assert line.rstrip(".").count(". ") == 1
    assert (os_error_line(OSError(number, os.strerror(number)), "report") or "").startswith("report: ")


def test_a_loop_of_links_is_an_error_of_the_system() -> None:
    assert "Choose a path without a loop" in (os_error_line(RuntimeError("Symlink loop from 'x'"), "retry") or "")
    assert os_error_line(RuntimeError("another"), "retry") is None


@pytest.mark.parametrize("command", ASCII.values(), ids=ASCII)
def test_a_terminal_that_knows_ascii_only(command: str, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sweep(scene, MINI.replace("[0, 1]", "[0]").replace("question: Does", "question: Größe ± 中"), "wide")
    out, err = io.BytesIO(), io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(out, encoding="ascii", write_through=True))
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(err, encoding="ascii", write_through=True))
    assert main(command.split()) in (0, 1, 2)
    assert (out.getvalue() + err.getvalue()).decode("ascii").strip()


def test_characters_that_a_terminal_lacks_stay_readable() -> None:
    make_output_readable()
    assert "5 ± 1 × 2 … Größe café → 中".encode("ascii", "readable") == b"5 +/- 1 x 2 ... Grosse cafe -> \\u4e2d"
    assert "a\udcff".encode("utf-8", "readable") == b"a\\udcff", "a file name that is not UTF-8"


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    assert os_error_line(OSError(errno.EBADF, "x", 3), "report") is None
    assert os_error_line(OSError("no errno"), "report") is None
