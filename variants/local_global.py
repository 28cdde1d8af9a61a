"""Attention to the neighbourhood over all frames, then to a coarse grid of the whole clip.

Local: keys of all frames at most floor(local_fraction * H / 2) rows and W / 2 columns away, as a mask on joint
attention, whose work is counted. Global: keys at every `global_stride`-th frame, row and column, and no scores for
others. The class token is seen by all in both steps, sees all in the first, and the coarse grid in the second.
Source: TimeSformer (arXiv 2102.05095), "sparse local global" (T x H/2 x W/2 neighbourhood, stride 2 in all three
dimensions). No code was released; the class token, the cut at the borders and the place of the linear layer (as in its
divided attention) are our reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor

from harness.api import (
    Block,
    DegenerateCase,
    Field,
    Layout,
    MaskedVariant,
    TrunkGeometry,
    VariantConfig,
    attend,
    count,
    plain,
    steps,
)


class LocalGlobalConfig(VariantConfig):
    """Knobs of local-global attention."""

    local_fraction: Annotated[float, Field(ge=0, le=2)] = Field(
        0.5, description="height and width of the neighbourhood / those of the frame; 2 reaches it all from a corner"
    )
    global_stride: int = Field(2, ge=1, description="frames, rows and columns from key to key")
    local_fc: Literal["zero_init", "random_init", "none"] = Field(
        "zero_init", description="a linear layer after local attention; starting at zero = no local attention at step 0"
    )


class LocalGlobal(MaskedVariant[LocalGlobalConfig]):
    """Local, then coarse global attention, one class token per clip; the mask is that of the local step."""

    class_token = "clip"
    cannot_carry = {"summary": "local attention reads every frame already"}

    def build_block(self, layer: int) -> LocalGlobalBlock:
        return LocalGlobalBlock(self.trunk, layer, self.config)

    def _reach(self, layout: Layout) -> list[int]:
        """Return the numbers of rows and columns to each side that a patch sees."""
        return [int(self.config.local_fraction * size / 2 + 1e-9) for size in (layout.height, layout.width)]

    def allowed(self, layout: Layout, layer: int) -> Tensor:
        return layout.with_global(layout.nearby(*self._reach(layout)), ~layout.is_patch)

    def visible_keys(self, layout: Layout, layer: int) -> Tensor:
        unseen = layout.num_patches - count.patches_near(layout, *self._reach(layout))
        return layout.num_tokens - unseen * layout.is_patch

    def block_macs(self, layer: int) -> int:
        coarse = self.layout().on_grid(self.config.global_stride)
        pairs = len(coarse) * int(coarse.sum())
        return super().block_macs(layer) + count.step_macs(self.trunk, len(coarse), pairs, self.config.local_fc)

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        return layout.through(self.allowed(layout, layer), layout.on_grid(self.config.global_stride))

    def reference_block(self, block: LocalGlobalBlock, x: Tensor, layout: Layout, layer: int) -> Tensor:
        x = x + plain.attention_step(block, x, self.allowed(layout, layer), "local_")
        return plain.mlp_step(block, x + plain.attention_step(block, x, layout.on_grid(block.stride)))

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        if self.config.local_fc == "zero_init":
            yield DegenerateCase("stride 1, zero init", equals="joint", config={"global_stride": 1}, at_init=True)


class LocalGlobalBlock(Block):
    """One layer on a row of tokens (class token, patches, registers); global attention has an image ViT's names."""

    def __init__(self, trunk: TrunkGeometry, layer: int, config: LocalGlobalConfig):
        super().__init__(trunk, layer)
        self.grid, self.stride = (trunk.num_frames, trunk.height, trunk.width), config.global_stride
        self.num_patches = trunk.num_frames * trunk.num_patches
        self.local_norm1, self.local_attn, self.local_fc = steps.attention(trunk, config.local_fc)

    def forward(self, x: Tensor, local: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x + self.drop_path(self.local_fc(self.local_attn(self.local_norm1(x), local))))

    def mix(self, x: Tensor) -> Tensor:
        q, k, v = self.attn.project(x)
        return self.attn.merge(attend(q, self._coarse(k), self._coarse(v)))

    def _coarse(self, x: Tensor) -> Tensor:
        """Select keys or values (B, h, n, c) of the class token, the coarse grid and the registers."""
        s, (cls, patches, registers) = self.stride, x.tensor_split((1, 1 + self.num_patches), dim=-2)
        coarse = patches.unflatten(-2, self.grid)[..., ::s, ::s, ::s, :].flatten(-4, -2)
        return torch.cat([cls, coarse, registers], dim=-2)
