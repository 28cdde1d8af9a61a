"""`new variant NAME`: write the scaffold of a variant that passes the checks."""

from __future__ import annotations

import argparse
import keyword
import re
from pathlib import Path
from string import Template

from harness.errors import UserError

SCAFFOLD = Template('''\
"""One line: what tokens see in $name; `list variants` shows it.

Source: where the scheme comes from (paper, section), and how this file differs from it.
"""

import torch
from torch import Tensor

from harness.api import Field, Layout, MaskedVariant, VariantConfig, count


class ${class_name}Config(VariantConfig):
    """Knobs, each with its unit; they are the fields of `variant:` in a sweep file."""

    reach: int = Field(1, ge=0, description="frames to each side that a token sees")


class $class_name(MaskedVariant[${class_name}Config]):
    """Who sees whom is one mask; replace `allowed` and `visible_keys` by your idea."""

    class_token = "clip"

    def allowed(self, layout: Layout, layer: int) -> Tensor:
        """Bool (n, n): [i, j] is True where token i sees token j."""
        near = layout.by_frame(layout.frame_steps().abs() <= self.config.reach)
        return layout.with_global(near, ~layout.is_patch)  # class token and registers see all and are seen by all

    def visible_keys(self, layout: Layout, layer: int) -> Tensor:
        """Number of tokens that each token sees (n,), by a formula: `check` compares the mask with it."""
        frames = count.places_near(layout.frame, self.config.reach, layout.num_frames)
        near = frames * layout.height * layout.width + layout.num_class + layout.num_registers
        return torch.where(layout.is_patch, near, layout.num_tokens)
''')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `new`."""
    things = parser.add_subparsers(dest="thing", metavar="WHAT", required=True)
    variant = things.add_parser("variant", help="write a variant file that passes `check`, to be changed")
    variant.add_argument("name", help="name of the variant and of its file: lower case, words_like_this")
    variant.add_argument(
        "--to", "--variants", type=Path, metavar="DIR",
        help="folder for the file (default: variants/ at the root of a clone, elsewhere the current folder)",
    )  # fmt: skip


def run(parsed: argparse.Namespace) -> int:
    """Write the scaffold and print the command that checks it."""
    from harness.locations import new_variants_folder
    from harness.registry import OUR_VARIANTS, variant_names

    name: str = parsed.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(f"{name}: not a valid variant name. Use lower-case letters, digits and _, e.g. my_window.")
    folder: Path = parsed.to or new_variants_folder()
    file = folder / f"{name}.py"
    if file.exists() or name in variant_names():
        raise UserError(f"{file}: a variant named {name} exists already. Choose another name.")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder. Create it first, or omit --to.")
    class_name = "".join(part.capitalize() for part in name.split("_"))
    file.write_text(SCAFFOLD.substitute(name=name, class_name=class_name), encoding="utf-8")
    extra = "" if folder.resolve() == OUR_VARIANTS else f" --variants {folder}"
    print(f"{file}\npython -m harness check {name}{extra}")
    return 0
