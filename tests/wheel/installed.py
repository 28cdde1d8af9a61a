"""The wheel, built from a copy of the tree and installed into an environment that does not see the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: what a wheel is built from
SOURCES = ("harness", "variants", "reports", "sweeps", "recipes", "pyproject.toml", "README.md", "LICENSE")
DECOY = "raise SystemExit('a folder of the working directory was imported')\n"


@dataclass(frozen=True)
class Installed:
    """An installed wheel: its file, its environment, and a working directory with decoys."""

    wheel: Path
    venv: Path
    cwd: Path

    @property
    def site_packages(self) -> Path:
        """Returns the folder that the wheel is installed into."""
        paths = {"base": str(self.venv), "platbase": str(self.venv)}
        return Path(sysconfig.get_path("purelib", scheme="venv", vars=paths))

    def run(self, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment in the working directory, which holds decoys."""
        hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        shell = {key: value for key, value in os.environ.items() if key not in hidden} | {"OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [str(self.venv / "bin" / words[0]), *words[1:]],
            cwd=self.cwd, env=shell, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def harness(self, *arguments: str) -> str:
        """Runs the console script and returns what it prints; fails where it does."""
        done = self.run("video-attention-harness", *arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout


def pip(*arguments: str) -> None:
    """Runs pip without an index."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def build(folder: Path) -> Path:
    """Builds the wheel from a copy of the tree, so that an earlier build there cannot add files."""
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / "tree" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, folder / "tree" / name)
    pip("wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(folder / "tree"))
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Installed:
    """Installs a wheel into an environment of its own that sees our dependencies, but not our editable install.

    A path in a .pth file adds that folder only: the .pth files in it, among them that of an editable install, are not
    read.
    """
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    cwd = folder / "somewhere"
    installed = Installed(wheel, folder / "venv", cwd)
    dependencies = [path for path in sys.path if path.endswith("-packages")]
    (installed.site_packages / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    pip("--python", str(folder / "venv/bin/python"), "install", "-q", "--no-deps", "--no-index", str(wheel))
    for decoy in ("reports", "variants", "sweeps", "recipes"):
        (cwd / decoy).mkdir(parents=True)
        (cwd / decoy / "__init__.py").write_text(DECOY)
        (cwd / decoy / "table.py").write_text(DECOY)
    return installed


def declared_packages() -> tuple[list[str], dict[str, str]]:
    """Returns the packages of pyproject.toml and where their folders lie."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    return setuptools["packages"], setuptools["package-dir"]
