"""`list`: what there is, read without importing any of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from harness.cli.common import arguments
from harness.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=[*LISTS], nargs="?", default="variants")
    arguments.add_variants(parser)


def run(parsed: argparse.Namespace) -> int:
    return LISTS[parsed.what](parsed.variants)


def _variants(folders: list[Path]) -> int:
    from harness.registry import describe, variant_names

    code = 0
    for name in variant_names(folders):
        try:
            info = describe(name, folders)
        except UserError as error:  # a broken file does not hide the others
            print(f"{name:28s} cannot be read: {error}")
            code = 1
            continue
        print(f"{name:28s} {info.summary}")
        print(f"{'':28s} {info.source}")
    return code


def _readouts(folders: list[Path]) -> int:
    from harness.sweep.blocks import NAMED_MODELS

    for name, config in NAMED_MODELS["readout"].items():
        print(f"{name:28s} {_first_line(config.__doc__)}")
    return 0


def _data(folders: list[Path]) -> int:
    from harness.data.sets import data_sets

    for name, found in data_sets().items():
        print(f"{name:28s} {_first_line(found.Config.__doc__)}")
    return 0


def _sweeps(folders: list[Path]) -> int:
    from harness.locations import SWEEPS

    for path in sorted(SWEEPS.glob("*.yaml")):
        print(f"{_shown(path):35s} {_content(path).get('question', '')}")
    return 0


def _recipes(folders: list[Path]) -> int:
    from harness.locations import RECIPES

    for path in sorted(RECIPES.glob("*.yaml")):
        comment = path.read_text(encoding="utf-8").splitlines()[0]
        summary = comment.removeprefix("#").strip() if comment.startswith("#") else ", ".join(_content(path))
        print(f"{_shown(path):35s} {summary}")
    return 0


def _reports(folders: list[Path]) -> int:
    from harness.reports import modules

    for module in modules():
        name = module.__name__.rsplit(".", 1)[-1]
        print(f"{name:22s} {_first_line(module.__doc__)}")
    return 0


def _content(path: Path) -> dict[str, object]:
    import yaml

    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _shown(path: Path) -> str:
    """Returns a path that commands accept from the current folder: relative where the file lies below it."""
    here = Path.cwd().resolve()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]


LISTS: dict[str, Callable[[list[Path]], int]] = {
    "variants": _variants,
    "readouts": _readouts,
    "data": _data,
    "sweeps": _sweeps,
    "recipes": _recipes,
    "reports": _reports,
}
