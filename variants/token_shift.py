"""Attention within each frame after a share of the channels has come from the frames before and after.

Before the norm of both halves of a layer, attention and MLP, channels [0, f) are taken from frame t + 1 and [f, 2f)
from frame t - 1 (zeros outside the clip), the rest stay; f = floor(shifted_fraction * D / 2). No multiply-add is added.
Source: TokShift (arXiv 2108.02432): `which` class_token, only the class tokens shift, and what is shifted goes on in
the residual stream; shifted_fraction 0.5. TSM (arXiv 1811.08383) on all tokens: `which` all, inside the residual
branches only; shifted_fraction 0.25. We differ: TSM shifts once per convolutional block, we in both halves of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from harness.api import (
    DegenerateCase,
    Field,
    FrameAttention,
    FrameBlock,
    FrameTokens,
    Layout,
    TrunkGeometry,
    Variant,
    VariantConfig,
    count,
    lend_channels,
    plain,
)


class TokenShiftConfig(VariantConfig):
    """Knobs of token shift."""

    which: Literal["class_token", "all"] = Field(
        "class_token", description="class_token: of frames, in the residual stream; all: all tokens, in the branches"
    )
    shifted_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="share of the channels that come from other frames, half from the next, half from the last"
    )


class TokenShift(Variant[TokenShiftConfig]):
    """Attention within each frame over tokens whose channels shift in time, class token per frame."""

    cannot_carry: ClassVar = {}

    @property
    def fold(self) -> int:
        """Return the number of channels that come from the next frame, and as many from the previous one."""
        return int(self.config.shifted_fraction * self.trunk.embed_dim / 2 + 1e-9)

    def validate(self) -> Iterator[tuple[str, str]]:
        yield from super().validate()
        dim = self.trunk.embed_dim
        if self.config.shifted_fraction and not self.fold:
            given = f"{self.config.shifted_fraction} given: half of it is less than one of {dim} channels"
            yield "shifted_fraction", f"{given}; 0, or at least {2 / dim:.3g}"

    def build_block(self, layer: int) -> ShiftBlock:
        return ShiftBlock(self.trunk, layer, self.fold, self.config.which)

    def block_macs(self, layer: int) -> int:
        return count.frame_block_macs(self.trunk, layer, tokens_per_frame=1 + self.trunk.num_patches)

    def _shift_influence(self, layout: Layout) -> Tensor:
        """Return who takes channels from whom in one shift."""
        moved = layout.slot == -2 if self.config.which == "class_token" else layout.frame >= 0
        shifted = layout.by_frame(layout.frame_steps().abs() == 1) & (layout.slot[:, None] == layout.slot[None]) & moved
        return shifted if self.fold else layout.itself()

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        shift, attention = self._shift_influence(layout), layout.with_registers(layout.same_frame())
        return layout.through(shift, layout.with_summaries(attention, self.trunk.summaries(layer)), shift)

    def reference_block(self, block: ShiftBlock, x: Tensor, layout: Layout, layer: int) -> Tensor:
        stream = self.config.which == "class_token"
        shifted = self._reference_shift(x, layout)
        update = plain.frame_attention(block.attn, plain.norm(block.norm1, shifted), layout)
        x = (shifted if stream else x) + update
        shifted = self._reference_shift(x, layout)
        return (shifted if stream else x) + plain.mlp(block.mlp, plain.norm(block.norm2, shifted))

    def _reference_shift(self, x: Tensor, layout: Layout) -> Tensor:
        slots = (-2,) if self.config.which == "class_token" else None
        return plain.lend_channels(x, layout, [1] * self.fold + [-1] * self.fold, slots=slots)

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        # not one frame and not a constant clip: zeros come in at the ends
        yield DegenerateCase("nothing shifts", equals="spatial_only", config={"shifted_fraction": 0.0})


class ShiftBlock(FrameBlock):
    """A block on `FrameTokens` that shifts channels before both norms; registers belong to no frame and stay."""

    attn: FrameAttention

    def __init__(self, trunk: TrunkGeometry, layer: int, fold: int, which: str):
        super().__init__(trunk, layer, FrameAttention(trunk, layer))
        self.folds = [(1, 0, fold), (-1, fold, 2 * fold)] if fold else []
        self.class_only = which == "class_token"

    def _shifted(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (residual stream, input of the branch)."""
        if not self.class_only:
            return x, lend_channels(x, self.folds)
        x = torch.cat([lend_channels(x[:, :, :1], self.folds), x[:, :, 1:]], dim=2)
        return x, x

    def forward(self, frames: FrameTokens) -> FrameTokens:  # type: ignore[override]
        x, branch = self._shifted(frames.x)
        frames = self.add(frames._replace(x=x), self.attn(self.each(self.norm1, frames._replace(x=branch))))
        x, branch = self._shifted(frames.x)
        return self.add_mlp(frames._replace(x=x), frames._replace(x=branch))
