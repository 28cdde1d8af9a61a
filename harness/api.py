"""Everything that a variant may import: base classes, tokens, blocks, layouts, closed forms, plain arithmetic.

A variant is one file with one subclass of `Variant`; docs/variants.md walks through a complete one. `list variants`
shows the first line of the file's docstring and the line that begins with `Source:`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar, get_args

import torch
from pydantic import Field
from torch import Tensor, nn

from harness.nn import count, grid, plain, steps
from harness.nn.attention import Attention, attend, plain_attention, pooled_means
from harness.nn.blocks import (
    Block,
    FrameAttention,
    FrameBlock,
    FrameEncoder,
    MaskedBlock,
    MaskedEncoder,
    SequenceEncoder,
    TokensEncoder,
    with_shared,
)
from harness.nn.config import StrictConfig as VariantConfig
from harness.nn.degenerate import DegenerateCase
from harness.nn.geometry import TrunkGeometry, layer_set
from harness.nn.layout import Layout, TokenPlace, then
from harness.nn.shift import lend_channels, source_frame
from harness.nn.steps import DropPath, Mlp, ZeroLinear
from harness.nn.tokens import ClassToken, FrameTokens, Tokens, from_sequence, to_sequence

__all__ = [
    "Attention", "Block", "ClassToken", "DegenerateCase", "DropPath", "Field", "FrameAttention", "FrameBlock",
    "FrameEncoder", "FrameTokens", "Layout", "MaskedBlock", "MaskedEncoder", "MaskedVariant", "Mlp",
    "SequenceEncoder", "TokenPlace", "Tokens", "TokensEncoder", "TrunkGeometry", "Variant", "VariantConfig",
    "ZeroLinear", "attend", "count", "from_sequence", "grid", "layer_set", "lend_channels", "plain",
    "plain_attention", "pooled_means", "source_frame", "steps", "then", "to_sequence", "with_shared",
]  # fmt: skip

_READOUT_OF: dict[str, str] = {"clip": "class_token", "frame": "mean_frames", "none": "mean_tokens"}
_UNSAID = "this variant does not define them"


ConfigT = TypeVar("ConfigT", bound=VariantConfig)


class Variant(Generic[ConfigT]):
    """A way in which the tokens of a clip exchange information; `Variant[MyConfig]` has the knobs of `MyConfig`.

    Most variants describe one layer (`build_block`, `block_macs`, `block_influence`, `reference_attention` or
    `reference_block`); one whose layers differ in kind overrides the whole (`build_encoder`, `macs`, `influence`,
    `reference`).
    """

    Config: ClassVar[type[VariantConfig]] = VariantConfig
    class_token: ClassToken = "frame"
    #: of a sweep that names none; by default the one that reads this kind of class token
    default_readout: ClassVar[str] = "mean_frames"
    encoder_type: ClassVar[type[nn.Module]] = FrameEncoder
    #: global token mechanism ('summary', 'registers') -> why this variant cannot carry it
    cannot_carry: ClassVar[Mapping[str, str]] = {"summary": _UNSAID, "registers": _UNSAID}
    #: readout -> why it would not read what this variant computes
    cannot_read: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for given in (part for base in vars(cls).get("__orig_bases__", ()) for part in get_args(base)):
            cls.Config = given if isinstance(given, type) else cls.Config
        cls.default_readout = vars(cls).get("default_readout", _READOUT_OF[cls.class_token])

    def __init__(self, config: ConfigT, trunk: TrunkGeometry):
        self.config = config
        self.trunk = trunk

    @property
    def class_token_out(self) -> ClassToken:
        """Return the class-token policy of the encoder's output; it differs where the encoder makes its own."""
        return self.class_token

    @property
    def trunk_out(self) -> TrunkGeometry:
        """Return the geometry of the encoder's output; it differs where the variant changes the grid."""
        return self.trunk

    def validate(self) -> Iterator[tuple[str, str]]:
        """Yield (field, message) for every combination that cannot be built; fields as in the sweep file."""
        tokens = self.trunk.global_tokens
        for name, number in (("summary", tokens.summary), ("registers", tokens.registers)):
            if number and name in self.cannot_carry:
                yield f"global_tokens.{name}", f"{number} given, but {self.cannot_carry[name]}; set it to 0"
        most = self.trunk.num_patches
        if tokens.summary > most and "summary" not in self.cannot_carry:
            yield "global_tokens.summary", f"{tokens.summary} given; a frame has {most} patches, so at most {most}"

    def build_encoder(self) -> nn.Module:
        """Build the encoder, `Tokens` -> `Tokens`."""
        return self.encoder_type(self.build_block(layer) for layer in range(self.trunk.depth))

    def initialise(self, encoder: nn.Module) -> None:
        """Set initial weights that differ from the trunk's (truncated normal of `model.init_std`, biases 0)."""
        for module in encoder.modules():
            if isinstance(module, ZeroLinear):
                module.initialise()

    def image_weights(self) -> Mapping[str, str]:
        """Map modules or parameters of the encoder to those of an image ViT (timm's names) that they start from.

        Used for what an imported file does not hold under its own name; a module stands for all that is in it. What
        is in neither keeps its initial value.
        """
        return {}

    def macs(self) -> int:
        """Count the multiply-accumulates of the encoder for one clip, in closed form."""
        with torch.device("cpu"):  # counted from tensors, and models are counted on the meta device
            return sum(self.block_macs(layer) for layer in range(self.trunk.depth))

    def masked_macs(self) -> int:
        """Count the part of `macs` spent on (query, key) pairs which a mask then drops; 0 without masks."""
        return 0

    def influence(self, layout: Layout) -> Tensor:
        """Return bool (n_out, n_in): which input tokens of the encoder can change which output token."""
        return layout.through(*(self.block_influence(layout, layer) for layer in range(self.trunk.depth)))

    def reference(self, encoder: nn.Module, tokens: Tokens) -> Tokens:
        """Oracle: compute the encoder's output slowly and plainly, from its parameters."""
        layout, x = self.layout(), to_sequence(tokens)
        for layer, block in enumerate(encoder.blocks):  # type: ignore[arg-type]
            x = self.reference_block(block, x, layout, layer)
        out = self.trunk_out
        like = x.new_empty(len(x), out.num_frames, out.height, out.width, 1)
        return from_sequence(x, tokens._replace(patches=like))

    def layout(self) -> Layout:
        """Return the places of the encoder's input tokens."""
        trunk = self.trunk
        return Layout(trunk.num_frames, trunk.height, trunk.width, self.class_token, trunk.global_tokens.registers)

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        """Yield the settings in which this variant equals another one."""
        return iter(())

    def without_gradient(self) -> frozenset[str]:
        """Return the names of encoder parameters that never receive a gradient (kept for parity with a source)."""
        return frozenset()

    def build_block(self, layer: int) -> nn.Module:
        """Build one layer of the encoder."""
        raise TypeError(f"{type(self).__name__} needs build_block, or build_encoder, macs, influence and reference")

    def block_macs(self, layer: int) -> int:
        """Count the multiply-accumulates of one layer for one clip."""
        raise TypeError(f"{type(self).__name__} needs block_macs or macs")

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        """Return bool (n, n): which token of the layer's input can change which token of its output."""
        raise TypeError(f"{type(self).__name__} needs block_influence or influence")

    def reference_block(self, block: Any, x: Tensor, layout: Layout, layer: int) -> Tensor:
        """Oracle: compute one layer in plain arithmetic, a row of all tokens (B, n, D) in, the same out."""
        x = x + self.reference_attention(block.attn, plain.norm(block.norm1, x), layout, layer)
        return plain.mlp_step(block, x)

    def reference_attention(self, attention: Any, x: Tensor, layout: Layout, layer: int) -> Tensor:
        """Oracle: map a normalised row (B, n, D) to what the attention of a standard block adds."""
        raise TypeError(f"{type(self).__name__} needs reference_attention, reference_block or reference")


class MaskedVariant(Variant[ConfigT]):
    """A variant in which who sees whom is one mask: block, MACs, influence and oracle follow from `allowed`.

    Since they share the mask, the variant also states a fact that does not come from it: `visible_keys`, `sees`, or a
    degenerate case. The block is a masked dense attention; a variant that computes the visible pairs alone names
    another `encoder_type` and its own `build_block`.
    """

    encoder_type: ClassVar[type[nn.Module]] = MaskedEncoder
    cannot_carry: ClassVar[Mapping[str, str]] = {
        "summary": "masked attention over the tokens of a row has no summaries"
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        derived = (cls.build_block, cls.build_encoder) == (MaskedVariant.build_block, MaskedVariant.build_encoder)
        if derived:  # the derived block has no summaries, whatever the class says
            cls.cannot_carry = {**MaskedVariant.cannot_carry, **cls.cannot_carry}

    def allowed(self, layout: Layout, layer: int) -> Tensor:
        """Return bool (n, n): [i, j] is True where token i sees token j, with class tokens and registers."""
        raise TypeError(f"{type(self).__name__} needs allowed")

    def visible_keys(self, layout: Layout, layer: int) -> Tensor | None:
        """Return the number of tokens that each token sees (n,), in closed form and not from `allowed`."""
        return None

    def sees(self, query: TokenPlace, key: TokenPlace) -> bool | None:
        """Return whether one token sees another, from their places and not from `allowed`; None: not stated."""
        return None

    def _visible_pairs(self, layer: int) -> int:
        keys = self.visible_keys(self.layout(), layer)
        return int((self.allowed(self.layout(), layer) if keys is None else keys).sum())

    def _is_masked(self) -> bool:
        return issubclass(self.encoder_type, MaskedEncoder)

    def build_encoder(self) -> nn.Module:
        blocks = (self.build_block(layer) for layer in range(self.trunk.depth))
        if not self._is_masked():
            return self.encoder_type(blocks)
        return self.encoder_type(blocks, (self.allowed(self.layout(), layer) for layer in range(self.trunk.depth)))

    def build_block(self, layer: int) -> nn.Module:
        return MaskedBlock(self.trunk, layer)

    def block_macs(self, layer: int) -> int:
        layout, registers = self.layout(), self.trunk.global_tokens.registers
        pairs = layout.num_tokens**2 if self._is_masked() else self._visible_pairs(layer)
        summaries = layout.num_frames * self.trunk.summaries(layer)
        return count.block_macs(self.trunk, layout.num_tokens, pairs + (layout.num_tokens - registers) * summaries)

    def masked_macs(self) -> int:
        if not self._is_masked():
            return 0
        with torch.device("cpu"):
            seen = sum(self._visible_pairs(layer) for layer in range(self.trunk.depth))
        return count.attention_macs(self.trunk.depth * self.layout().num_tokens ** 2 - seen, self.trunk.embed_dim)

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        return layout.with_summaries(self.allowed(layout, layer), self.trunk.summaries(layer))

    def reference_attention(self, attention: Any, x: Tensor, layout: Layout, layer: int) -> Tensor:
        return plain.row_attention(attention, x, layout, self.allowed(layout, layer), self.trunk.summaries(layer))
