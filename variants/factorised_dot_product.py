"""Half of the heads attend over time at each place, the other half over space in each frame; no class token.

One projection to queries, keys and values and one output projection, as in an image ViT: no parameter more.
Source: ViViT (arXiv 2103.15691), model 4; the first half of the heads is the one over time, as in its code. ViViT has
one position per tubelet: `model.joint_position: learned`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from harness.api import Attention, DegenerateCase, FrameBlock, FrameTokens, Layout, Variant, attend, count, plain


class FactorisedDotProduct(Variant):
    """Heads over time and heads over space side by side, no class token."""

    class_token = "none"
    cannot_carry: ClassVar = {
        "summary": "half of the heads read every frame already",
        "registers": "neither half of the heads, within a place or within a frame, has keys that all frames share",
    }

    def validate(self) -> Iterator[tuple[str, str]]:
        yield from super().validate()
        if self.trunk.num_heads % 2:
            dim, fits = self.trunk.embed_dim, count.divisors(self.trunk.embed_dim, 2)
            allowed = f"even numbers that divide embed_dim {dim}: {fits}" if fits else f"embed_dim {dim} allows none"
            yield "model.num_heads", f"{self.trunk.num_heads} heads have no two halves; {allowed}"

    def build_block(self, layer: int) -> FrameBlock:
        attention = DotProductAttention(self.trunk.embed_dim, self.trunk.num_heads, self.trunk.qkv_bias)
        return FrameBlock(self.trunk, layer, attention)

    def block_macs(self, layer: int) -> int:
        trunk = self.trunk
        num_tokens = trunk.num_frames * trunk.num_patches
        pairs = num_tokens * (trunk.num_frames + trunk.num_patches)  # each with half of the channels
        return count.block_macs(trunk, num_tokens, 0) + count.attention_macs(pairs, trunk.embed_dim // 2)

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        return layout.same_place() | layout.same_frame()

    def reference_attention(self, attention: Attention, x: Tensor, layout: Layout, layer: int) -> Tensor:
        half, heads = self.trunk.embed_dim // 2, self.trunk.num_heads // 2
        q, k, v = plain.project(attention, x)
        time = plain.attend(q[..., :half], k[..., :half], v[..., :half], layout.same_place(), heads)
        space = plain.attend(q[..., half:], k[..., half:], v[..., half:], layout.same_frame(), heads)
        return plain.linear(attention.proj, torch.cat([time, space], dim=-1))

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        # one frame of many patches is no image ViT: the heads over time then see a single key
        one = {"num_frames": 1, "height": 1, "width": 1}
        yield DegenerateCase("one frame of one patch", equals="spatial_only", model=one)


class DotProductAttention(Attention):
    """Multi-head attention on `FrameTokens`: heads [0, h/2) over time, heads [h/2, h) over space."""

    def forward(self, frames: FrameTokens) -> FrameTokens:  # type: ignore[override]
        q, k, v = self.project(frames.x)  # each (B, T, h, S, c)
        time, space = ([z.chunk(2, dim=2)[half] for z in (q, k, v)] for half in (0, 1))
        over_time = attend(*(z.transpose(1, 3) for z in time)).transpose(1, 3)
        return FrameTokens(self.merge(torch.cat([over_time, attend(*space)], dim=2)), None)
