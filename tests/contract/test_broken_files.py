"""Broken variant files: one message with the line and what to do; the other variants stay listed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import registry
from harness.cli import main

ROOT = Path(__file__).resolve().parents[2]
HEAD = '"""A variant for tests.\n\nSource: this test.\n"""\nfrom harness.api import Field, Variant, VariantConfig\n'
CLASS = "\nclass Outside(Variant):\n    pass\n"
CONFIG = "\nclass Knobs(VariantConfig):\n    {}\n\nclass Outside(Variant):\n    Config = Knobs\n"
SWEEP = """question: Does it say what is wrong?
data: {name: moving_shapes, task: motion}
model: {size: demo, num_frames: 8, crop_size: 16, patch_size: 4}
variant: broken
train: {num_steps: 1}
seeds: 1
"""
#: name -> (content of the file, line, message)
BROKEN: dict[str, tuple[bytes, int, str]] = {
    "a name that is not defined": (
        (HEAD + "width = no_such_name\n" + CLASS).encode(), 6, "NameError: name 'no_such_name' is not defined",
    ),
    "a division by zero": ((HEAD + "width = 1 / 0\n" + CLASS).encode(), 6, "ZeroDivisionError: division by zero"),
    "an exit": ((HEAD + "raise SystemExit(3)\n" + CLASS).encode(), 6, "SystemExit: 3"),
    "no import": ((HEAD + "import no_such_module\n" + CLASS).encode(), 6, "No module named 'no_such_module'"),
    "a knob without default": (
        (HEAD + CONFIG.format("reach: int")).encode(), 8, "Knobs.reach: has no default. Give it a default",
    ),
    "a default that its own field refuses": (
        (HEAD + CONFIG.format("reach: int = Field(0, ge=1)")).encode(), 8, "Knobs.reach: has a default that is refused",
    ),
    "not UTF-8": (HEAD.encode() + b"name = '\xe9t\xe9'\n" + CLASS.encode(), 6, "byte 0xe9 is not UTF-8; save the file"),
    "a null byte": (HEAD.encode() + b"\0" + CLASS.encode(), 1, "null bytes. The file is no valid Python"),
    "no syntax": ((HEAD + "class (Variant):\n    pass\n").encode(), 6, "The file is no valid Python: correct it"),
}  # fmt: skip
#: what `list` reports, which runs no file
UNREADABLE = ("not UTF-8", "a null byte", "no syntax")


def write(folder: Path, content: bytes) -> Path:
    (folder / "broken.py").write_bytes(content)
    (folder / "sound.py").write_text(HEAD + CLASS)
    (folder / "broken.yaml").write_text(SWEEP)
    return folder


@pytest.mark.parametrize("verb", ["check", "sweep"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_ends_a_command_with_one_message(
    name: str, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, line, message = BROKEN[name]
    folder = write(tmp_path, content)
    what = ["broken"] if verb == "check" else [str(folder / "broken.yaml"), "--runs", str(tmp_path / "runs")]
    assert main([verb, *what, "--variants", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert f"broken.py:{line}" in err
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in out + err


def listed(*arguments: str, path: str = "") -> tuple[int, list[str]]:
    """Return exit code and lines of `list variants`."""
    command = [sys.executable, "-m", "harness", "list", "variants", *arguments]
    environment = {"PYTHONPATH": f"{ROOT}{os.pathsep}{path}", "PATH": os.environ["PATH"]}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("name", [*UNREADABLE, "a name that is not defined"])
def test_a_broken_file_hides_no_other_from_the_list(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path, BROKEN[name][0])
    code, lines = listed("--variants", str(folder))
    assert code == (1 if name in UNREADABLE else 0)
    assert any(line.startswith("sound ") for line in lines)
    assert any(line.startswith("joint ") for line in lines)
    (own,) = [line for line in lines if line.startswith("broken ")]
    assert ("cannot be read: " in own and "broken.py:" in own) == (name in UNREADABLE)


@pytest.mark.parametrize("module", ["no_such_package.scheme", "broken_package.scheme"])
def test_an_entry_point_that_leads_nowhere(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken_package").mkdir()
    (tmp_path / "broken_package" / "__init__.py").write_text("no_such_name\n")
    info = tmp_path / "broken_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[harness.variants]\nbroken = {module}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entry_points.cache_clear()
    try:
        assert main(["check", "broken"]) == 2
    finally:
        registry._entry_points.cache_clear()
    said = capsys.readouterr().err
    assert f"variant broken: the installed package offers {module}, which cannot be found (" in said
    assert "Install broken-package again, or uninstall it." in said
    code, lines = listed(path=str(tmp_path))
    assert code == 1
    assert any(line.startswith("joint ") for line in lines)
    assert any("cannot be read: variant broken: the installed package" in line for line in lines)
