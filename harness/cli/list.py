"""`list`: what there is, read without importing any of it."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.common import arguments
from harness.errors import UserError

ROOT = Path(__file__).resolve().parent.parent.parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["variants", "readouts", "sweeps", "reports"], nargs="?", default="variants")
    arguments.add_variants(parser)


def run(parsed: argparse.Namespace) -> int:
    if parsed.what == "variants":
        return _variants(parsed.variants)
    if parsed.what == "sweeps":
        return _sweeps()
    if parsed.what == "readouts":
        return _readouts()
    from harness.reports import modules

    for module in modules():
        name = module.__name__.rsplit(".", 1)[-1]
        print(f"{name:22s} {(module.__doc__ or '').strip().splitlines()[0]}")
    return 0


def _variants(folders: list[Path]) -> int:
    from harness.registry import describe, variant_names

    code = 0
    for name in variant_names(folders):
        try:
            info = describe(name, folders)
        except UserError as error:  # one broken file hides none of the others
            print(f"{name:28s} cannot be read: {error}")
            code = 1
            continue
        print(f"{name:28s} {info.summary}")
        print(f"{'':28s} {info.source}")
    return code


def _readouts() -> int:
    from harness.sweep.blocks import NAMED_MODELS

    for name, config in NAMED_MODELS["readout"].items():
        print(f"{name:28s} {(config.__doc__ or '').strip().splitlines()[0]}")
    return 0


def _sweeps() -> int:
    import yaml

    for path in sorted((ROOT / "sweeps").glob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        print(f"sweeps/{path.name:28s} {content.get('question', '')}")
    return 0
