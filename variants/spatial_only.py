"""Each frame attends to itself alone; no exchange over time.

The image ViT applied to every frame. Together with a mean over frames it sees a bag of frames.
Source: TimeSformer (arXiv 2102.05095), "space-only"; X-ViT (arXiv 2106.05968) with temporal window 0.
"""

from __future__ import annotations

from torch import Tensor

from harness.api import FrameAttention, FrameBlock, Layout, Variant, count, plain


class SpatialOnly(Variant):
    """Attention within each frame, class token per frame."""

    cannot_carry = {}

    def build_block(self, layer: int) -> FrameBlock:
        return FrameBlock(self.trunk, layer, FrameAttention(self.trunk, layer))

    def block_macs(self, layer: int) -> int:
        return count.frame_block_macs(self.trunk, layer, tokens_per_frame=1 + self.trunk.num_patches)

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        seen = layout.with_registers(layout.same_frame())
        return layout.with_summaries(seen) if self.trunk.summaries(layer) else seen

    def reference_block(self, block: FrameBlock, x: Tensor, layout: Layout, layer: int) -> Tensor:
        x = x + plain.frame_attention(block.attn, plain.norm(block.norm1, x), layout)
        return x + plain.mlp(block.mlp, plain.norm(block.norm2, x))
