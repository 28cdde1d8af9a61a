"""Attention inside windows of (time, height, width); every second layer shifts the windows by half.

The grid is padded with zeros (after the norm) to a multiple of the window; padding is seen as keys and values that
are the biases of the projection, as in the source. Along an axis that fits into the window, the window is the axis
and nothing shifts. Scores get a learned bias for the offset between query and key.
Source: Video Swin Transformer (arXiv 2106.13230), here in an isotropic ViT: no merging of patches, so only the
attention differs from the other variants. Its block is the released one but for two points: what a shift brings
together from opposite ends of the clip is masked exactly (the code adds -100), and a window cut in height or width
keeps its true offsets (the code takes the wrong rows of the bias table there).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from harness.api import (
    Attention,
    Block,
    DegenerateCase,
    Field,
    Layout,
    Tokens,
    TokensEncoder,
    TrunkGeometry,
    Variant,
    VariantConfig,
    attend,
    count,
    plain,
)

Place = tuple[int, ...]  # (time, height, width)


class WindowConfig(VariantConfig):
    """Knobs of windowed attention."""

    window: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=3, max_length=3)] = Field(
        [4, 2, 2], description="tokens of a window along [time, height, width]; Video Swin: [8, 7, 7]"
    )
    shifted: bool = Field(True, description="every second layer, from the second on, shifts by half a window")
    relative_position: bool = Field(True, description="learned bias for each offset within a window, per head")


class Window3d(Variant[WindowConfig]):
    """Attention within shifted windows, no class token."""

    class_token = "none"
    encoder_type = TokensEncoder
    cannot_carry: ClassVar = {
        "summary": "windows hold parts of several frames, so there is no frame whose keys could be extended",
        "registers": "no window is shared by all tokens",
    }

    def build_block(self, layer: int) -> SwinBlock:
        return SwinBlock(self.trunk, layer, SwinAttention(self.trunk, layer, self.config))

    def initialise(self, encoder: nn.Module) -> None:
        for block in encoder.blocks:  # type: ignore[union-attr]
            if self.config.relative_position:
                nn.init.trunc_normal_(block.attn.relative_position_bias_table, std=0.02)

    def block_macs(self, layer: int) -> int:
        window, _, padded = windows(self.trunk, layer, self.config)
        attention = count.step_macs(self.trunk, prod(padded), prod(padded) * prod(window))
        return attention + count.mlp_macs(self.trunk, self.trunk.num_frames * self.trunk.num_patches)

    def masked_macs(self) -> int:
        return sum(self._masked_macs(layer) for layer in range(self.trunk.depth))

    def _masked_macs(self, layer: int) -> int:
        """Count pairs of both ends of a shifted axis: they share the last window and do not see each other."""
        window, shift, padded = windows(self.trunk, layer, self.config)
        axes = zip(padded, window, shift, strict=True)
        inside = prod((size // w - 1) * w**2 + (w - s) ** 2 + s**2 for size, w, s in axes)
        return count.attention_macs(prod(padded) * prod(window) - inside, self.trunk.embed_dim)

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        allowed, _, real = self._pairs(layer)
        return allowed[real][:, real]

    def _pairs(self, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return, for places of the padded grid: who sees whom (P, P), rows of the bias table, True for tokens (P,)."""
        trunk = self.trunk
        window, shift, padded = (torch.tensor(z) for z in windows(trunk, layer, self.config))
        place = torch.cartesian_prod(*map(torch.arange, padded.tolist()))
        moved = (place - shift) % padded
        # the tokens that a shift brings from the beginning of an axis to its end stay among themselves
        room = torch.cat([moved // window, place < shift], dim=-1)
        allowed = (room[:, None] == room[None]).all(-1)
        most = torch.tensor(self.config.window) - 1
        t, h, w = (moved[:, None] - moved[None] + most).unbind(-1)
        row = (t * (2 * most[1] + 1) + h) * (2 * most[2] + 1) + w
        real = (place < torch.tensor([trunk.num_frames, trunk.height, trunk.width])).all(-1)
        return allowed, row.where(allowed, 0), real

    def reference_attention(self, attention: SwinAttention, x: Tensor, layout: Layout, layer: int) -> Tensor:
        """Attend once over the padded grid, under a mask that says who shares a window."""
        allowed, row, real = self._pairs(layer)
        everywhere = x.new_zeros(x.shape[0], len(real), x.shape[-1])
        everywhere[:, real] = x
        q, k, v = plain.project(attention, everywhere)
        table = attention.relative_position_bias_table
        bias = None if table is None else table[row[real]].permute(2, 0, 1)
        return plain.linear(attention.proj, plain.attend(q[:, real], k, v, allowed[real], attention.num_heads, bias))

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        trunk = self.trunk
        frame = [1, trunk.height, trunk.width]
        for window, equals in (([trunk.num_frames, *frame[1:]], "joint"), (frame, "spatial_only")):
            config = {"window": window, "relative_position": False}
            yield DegenerateCase(f"window of {window}", equals=equals, config=config)


def windows(trunk: TrunkGeometry, layer: int, config: WindowConfig) -> tuple[Place, Place, Place]:
    """Return window, shift and padded grid of a layer; an axis that fits into the window never shifts."""
    grid = (trunk.num_frames, trunk.height, trunk.width)
    window = tuple(map(min, grid, config.window))
    moves = config.shifted and layer % 2 == 1
    shift = tuple(w // 2 if moves and size > w else 0 for size, w in zip(grid, window, strict=True))
    return window, shift, tuple(-(-size // w) * w for size, w in zip(grid, window, strict=True))


class SwinAttention(Attention):
    """Attention within the windows of a grid (B, T, H, W, D); parameter names as in the Video Swin code."""

    relative_index: Tensor
    together: Tensor

    def __init__(self, trunk: TrunkGeometry, layer: int, config: WindowConfig):
        super().__init__(trunk.embed_dim, trunk.num_heads, trunk.qkv_bias)
        self.window, self.shift, self.padded = windows(trunk, layer, config)
        self.relative_position_bias_table: nn.Parameter | None = None
        if config.relative_position:
            num_offsets = prod(2 * w - 1 for w in config.window)
            self.relative_position_bias_table = nn.Parameter(torch.zeros(num_offsets, trunk.num_heads))
        self.register_buffer("relative_index", self._relative_index(config.window), persistent=False)
        self.register_buffer("together", self._together(), persistent=False)

    def _relative_index(self, configured: list[int]) -> Tensor:
        """Return the row of the bias table for each query and key of a window (n, n)."""
        place, most = torch.cartesian_prod(*map(torch.arange, self.window)), torch.tensor(configured)
        t, h, w = (place[:, None] - place[None] + most - 1).unbind(-1)
        return (t * (2 * most[1] - 1) + h) * (2 * most[2] - 1) + w

    def _together(self) -> Tensor:
        """Return bool (windows, n, n): False between tokens that only the roll made neighbours."""
        axes = zip(self.padded, self.shift, strict=True)
        t, h, w = (torch.arange(size) >= size - shift for size, shift in axes)  # rolled in from the other end
        label = self._cut((4 * t[:, None, None] + 2 * h[:, None] + w)[None, ..., None])[0, :, :, 0]
        return label[:, :, None] == label[:, None, :]

    def _cut(self, x: Tensor) -> Tensor:
        """Cut a grid into windows: (B, T, H, W, D) -> (B, windows, n, D)."""
        a, b, c = self.window
        return rearrange(x, "n (t a) (h b) (w c) d -> n (t h w) (a b c) d", a=a, b=b, c=c)

    def _join(self, x: Tensor) -> Tensor:
        """Invert `_cut`."""
        (t, h, w), (a, b, c) = self.padded, self.window
        pattern = "n (t h w) (a b c) d -> n (t a) (h b) (w c) d"
        return rearrange(x, pattern, t=t // a, h=h // b, w=w // c, a=a, b=b, c=c)

    def _mask(self, like: Tensor) -> Tensor | None:
        """Return what is added to the scores (windows or 1, heads or 1, n, n), or a bool mask, or None: all see all."""
        table, moved = self.relative_position_bias_table, any(self.shift)
        together = self.together.unsqueeze(1)
        if table is None:
            return together if moved else None
        bias = table[self.relative_index].permute(2, 0, 1).unsqueeze(0).to(like.dtype)
        return bias.masked_fill(~together, float("-inf")) if moved else bias

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        size, axes = x.shape[1:4], (1, 2, 3)
        missing = [whole - there for whole, there in zip(self.padded, size, strict=True)]
        x = F.pad(x, (0, 0, 0, missing[2], 0, missing[1], 0, missing[0]))
        q, k, v = self.project(self._cut(x.roll([-s for s in self.shift], axes)))
        y = self._join(self.merge(attend(q, k, v, self._mask(q)))).roll(self.shift, axes)
        return y[:, : size[0], : size[1], : size[2]]


class SwinBlock(Block):
    """A pre-norm block on the patches of `Tokens`."""

    def forward(self, tokens: Tokens) -> Tokens:  # type: ignore[override]
        return Tokens(super().forward(tokens.patches))
