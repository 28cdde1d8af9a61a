"""`new variant NAME`: a file that keeps the contract and waits for an idea."""

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

from __future__ import annotations

import torch
from torch import Tensor

from harness.api import Block, Field, Layout, SequenceEncoder, TrunkGeometry, Variant, VariantConfig, count, plain


class ${class_name}Config(VariantConfig):
    """Knobs, each with its unit; they are the fields of `variant:` in a sweep file."""

    reach: int = Field(1, ge=0, description="frames to each side that a token sees")


class $class_name(Variant):
    """Who sees whom is one mask; replace `allowed` by your idea."""

    Config = ${class_name}Config
    config: ${class_name}Config
    class_token = "clip"
    default_readout = "class_token"
    encoder_type = SequenceEncoder
    cannot_carry = {"summary": "its queries may be given a wider reach instead"}

    def allowed(self, layout: Layout) -> Tensor:
        """Bool (n, n): [i, j] says whether token i may look at token j."""
        frame = torch.arange(layout.num_frames)
        near = (frame[:, None] - frame[None, :]).abs() <= self.config.reach
        in_no_frame = layout.frame < 0  # class token and registers see everything and are seen by all
        return layout.by_frame(near) | in_no_frame[:, None] | in_no_frame[None, :]

    def build_block(self, layer: int) -> Block:
        return MaskedBlock(self.trunk, layer, self.allowed(self.layout()))

    def block_macs(self, layer: int) -> int:
        # a mask saves no work in dense attention: all pairs are computed
        return count.block_macs(self.trunk, self.layout().num_tokens, self.layout().num_tokens**2)

    def masked_macs(self) -> int:
        dropped = int((~self.allowed(self.layout())).sum())
        return self.trunk.depth * count.attention_macs(dropped, self.trunk.embed_dim)

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        return self.allowed(layout)

    def reference_block(self, block: Block, x: Tensor, layout: Layout, layer: int) -> Tensor:
        """The same layer, slowly and plainly: the contract test compares the two, gradients included."""
        x = x + plain.self_attention(block.attn, plain.norm(block.norm1, x), self.allowed(layout))
        return x + plain.mlp(block.mlp, plain.norm(block.norm2, x))


class MaskedBlock(Block):
    """A standard block whose attention is masked."""

    def __init__(self, trunk: TrunkGeometry, layer: int, allowed: Tensor):
        super().__init__(trunk, layer)
        self.register_buffer("allowed", allowed, persistent=False)

    def mix(self, x: Tensor) -> Tensor:
        return self.attn(x, mask=self.allowed)
''')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    things = parser.add_subparsers(dest="thing", metavar="WHAT", required=True)
    variant = things.add_parser("variant", help="a variant file, working as it is")
    variant.add_argument("name", help="its name, which is also the file's: lower case, words_like_this")
    variant.add_argument(
        "--to", "--variants", type=Path, metavar="DIR",
        help="folder for the file (default: variants/ at the root of a clone, elsewhere the current folder)",
    )  # fmt: skip


def run(parsed: argparse.Namespace) -> int:
    from harness.locations import new_variants_folder
    from harness.registry import OUR_VARIANTS, variant_names

    name: str = parsed.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(f"{name}: no name for a variant. Lower-case letters, digits and _ are allowed, e.g. my_window.")
    folder: Path = parsed.to or new_variants_folder()
    file = folder / f"{name}.py"
    if file.exists() or name in variant_names():
        raise UserError(f"{file}: a variant named {name} is there already. Choose another name.")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder. Make it first, or leave --to out.")
    class_name = "".join(part.capitalize() for part in name.split("_"))
    file.write_text(SCAFFOLD.substitute(name=name, class_name=class_name), encoding="utf-8")
    extra = "" if folder.resolve() == OUR_VARIANTS else f" --variants {folder}"
    print(f"{file}\npython -m harness check {name}{extra}")
    return 0
