"""Each patch pools one point from every frame, then attends over these points: its trajectory through the clip.

Step one: a query attends to the patches of each frame apart, which gives one pooled value per (query, frame). Step
two: the value of the query's own frame, projected again, attends over its values of all frames. The class token takes
no part in either: it attends to all tokens as usual, and no patch sees it.
Source: Motionformer (arXiv 2106.05392), trajectory attention; its released code computes the values of step two and
then averages the pooled values themselves, and its published results were made so (value_path `published`, with the
discarded product still executed and counted). `corrected` is the paper's equation. The approximations of the paper
(Orthoformer) are not here.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from harness.api import (
    Attention,
    Block,
    Field,
    Layout,
    SequenceEncoder,
    TrunkGeometry,
    Variant,
    VariantConfig,
    attend,
    count,
    plain,
)


class TrajectoryConfig(VariantConfig):
    """Knobs of trajectory attention."""

    value_path: Literal["published", "corrected"] = Field(
        "published", description="what step two averages: the pooled values (released code) or their projection (paper)"
    )


class Trajectory(Variant[TrajectoryConfig]):
    """Trajectory attention, one class token per clip."""

    class_token = "clip"
    encoder_type = SequenceEncoder
    cannot_carry: ClassVar = {
        "summary": "every query pools every frame already",
        "registers": "the second step starts at the query's own frame, and a register belongs to none",
    }

    def build_block(self, layer: int) -> Block:
        return Block(self.trunk, layer, TrajectoryAttention(self.trunk, self.config))

    def block_macs(self, layer: int) -> int:
        frames, dim = self.trunk.num_frames, self.trunk.embed_dim
        patches = frames * self.trunk.num_patches
        whole = count.block_macs(self.trunk, patches + 1, patches + 1 + patches**2)
        step_two = count.linear_macs(patches, dim, dim) + count.linear_macs(patches * frames, dim, 2 * dim)
        return whole + step_two + count.attention_macs(patches * frames, dim)

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        return layout.is_patch[None] | ~layout.is_patch[:, None]

    def reference_attention(self, attention: TrajectoryAttention, x: Tensor, layout: Layout, layer: int) -> Tensor:
        """Attend frame by frame, then token by token; row 0 is the class token."""
        q, k, v = plain.project(attention, x)
        num_heads = attention.num_heads
        of_class = plain.attend(q, k, v, layout.all_pairs(), num_heads)
        points = []  # for each frame f, what every query pools from it
        for frame in range(layout.num_frames):
            members = (layout.frame == frame).expand(layout.num_tokens, -1)
            points.append(plain.attend(q, k, v, members, num_heads))
        rows = [of_class[:, :1]]
        everything = torch.ones(1, layout.num_frames, dtype=torch.bool)
        for token in range(1, layout.num_tokens):
            path = torch.stack([point[:, token] for point in points], dim=1)
            query = plain.linear(attention.proj_q, path[:, layout.frame[token]]).unsqueeze(1)
            key, value = plain.linear(attention.proj_kv, path).chunk(2, dim=-1)
            value = path if self.config.value_path == "published" else value
            rows.append(plain.attend(query, key, value, everything, num_heads))
        return plain.linear(attention.proj, torch.cat(rows, dim=1))


class TrajectoryAttention(Attention):
    """Trajectory attention of a row [class token; patches (t h w)]; parameter names as in the Motionformer code.

    The first half of `proj_kv` makes keys, the second values; with `published` the second half gets no gradient.
    """

    def __init__(self, trunk: TrunkGeometry, config: TrajectoryConfig):
        super().__init__(trunk.embed_dim, trunk.num_heads, trunk.qkv_bias)
        self.num_frames = trunk.num_frames
        self.published = config.value_path == "published"
        self.proj_q = nn.Linear(trunk.embed_dim, trunk.embed_dim)
        self.proj_kv = nn.Linear(trunk.embed_dim, 2 * trunk.embed_dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.project(x)
        of_class = attend(q[:, :, :1], k, v).transpose(1, 2).flatten(2)
        points = self._pool(q[:, :, 1:], k[:, :, 1:], v[:, :, 1:])
        return self.proj(torch.cat([of_class, self._along(points)], dim=1))

    def _pool(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Step one: map patches (B, h, T S, c) to what each query pools from each frame, (B, T S, T, D)."""
        frames = self.num_frames
        # frames go into the batch dimension: fused kernels take four dimensions, not five
        k, v = (z.unflatten(2, (frames, -1)).movedim(2, 1).flatten(0, 1) for z in (k, v))
        q = q.unsqueeze(1).expand(-1, frames, -1, -1, -1).flatten(0, 1)
        return attend(q, k, v).unflatten(0, (-1, frames)).permute(0, 3, 1, 2, 4).flatten(3)

    def _along(self, points: Tensor) -> Tensor:
        """Step two: attend with the own point over the points of all frames, (B, T S, T, D) -> (B, T S, D)."""
        batch, num_patches = points.shape[:2]
        own = points.unflatten(1, (self.num_frames, -1)).diagonal(dim1=1, dim2=3)  # (B, S, D, T)
        query = self.proj_q(own.permute(0, 3, 1, 2).flatten(1, 2)).unsqueeze(2)
        key, value = self.proj_kv(points).chunk(2, dim=-1)
        value = points if self.published else value
        heads = (z.flatten(0, 1).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for z in (query, key, value))
        return attend(*heads).reshape(batch, num_patches, -1)
