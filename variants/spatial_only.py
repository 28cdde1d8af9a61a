"""Each frame attends to itself alone; no exchange over time.

The image ViT applied to every frame. Together with a mean over frames it sees a bag of frames.
Source: TimeSformer (arXiv 2102.05095), "space-only"; X-ViT (arXiv 2106.05968) with temporal window 0.
"""

from __future__ import annotations

from torch import Tensor

from harness.api import FrameAttention, FrameBlock, FrameEncoder, Layout, MaskedVariant, count


class SpatialOnly(MaskedVariant):
    """Attention within each frame, class token per frame."""

    encoder_type = FrameEncoder
    cannot_carry = {}

    def build_block(self, layer: int) -> FrameBlock:
        return FrameBlock(self.trunk, layer, FrameAttention(self.trunk, layer))

    def allowed(self, layout: Layout, layer: int) -> Tensor:
        return layout.with_registers(layout.same_frame())

    def visible_keys(self, layout: Layout, layer: int) -> Tensor:
        return count.keys_in_frame(layout)
