"""What a command is asked about: a sweep file, or names of variants at their defaults."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.common import arguments
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.sweep.plan import Plan

SWEEP_OF_A_VARIANT = """\
question: What does {name} cost?
data: {{name: random}}
variant: {name}
vary: [{{list: [{{label: {name}}}]}}]
"""


def add_target(parser: argparse.ArgumentParser, more: str = "") -> None:
    """A sweep file or a variant, and what changes how it is read."""
    parser.add_argument("target", help=f"a sweep file (.yaml), or the name of a variant{more}")
    arguments.add_overrides(parser)
    arguments.add_variants(parser)


def plan_target(target: str, overrides: list[str], variant_dirs: list[Path]) -> Plan:
    """The plan of a sweep file, or of one variant with random clips of 400 classes; `overrides` as of a sweep.

    Raises:
        UserError: neither a file nor a variant, or a configuration that cannot be built.
    """
    from harness.data import data_identity
    from harness.registry import variant_file
    from harness.sweep.plan import plan_sweep

    if is_file(target):
        return plan_sweep(Path(target), overrides, data_identity=data_identity, variant_dirs=variant_dirs)
    variant_file(target, variant_dirs)  # an unknown name is said with the known ones
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{target}.yaml"
        file.write_text(SWEEP_OF_A_VARIANT.format(name=target), encoding="utf-8")
        return plan_sweep(file, overrides, data_identity=data_identity, variant_dirs=variant_dirs)


def add_targets(parser: argparse.ArgumentParser) -> None:
    """One sweep file or several variants, and what changes how they are read."""
    parser.add_argument(
        "targets",
        nargs="+",
        metavar="TARGET",
        help="a sweep file (.yaml), or names of variants: the first is the baseline",
    )
    arguments.add_overrides(parser)
    arguments.add_variants(parser)


def plan_targets(targets: list[str], overrides: list[str], variant_dirs: list[Path]) -> list[Plan]:
    """The plan of a sweep file, or one plan for each variant.

    Raises:
        UserError: a file beside something else, or as `plan_target`.
    """
    files = [target for target in targets if is_file(target)]
    if files and len(targets) > 1:
        raise UserError(f"{' '.join(targets)}: give one sweep file alone, or names of variants, e.g. mixing joint")
    return [plan_target(target, overrides, variant_dirs) for target in dict.fromkeys(targets)]


def is_file(target: str) -> bool:
    """Is a file meant, whether it exists or not?"""
    return target.endswith((".yaml", ".yml")) or "/" in target
