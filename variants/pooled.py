"""Pools queries, keys and values over the grid before attention, which then has fewer pairs.

Each of them has its own strided 3x3x3 convolution, one filter per channel of a head, and a norm; the class token skips
the convolution. A query stride above 1 shrinks the grid for all following layers.
Source: MViTv2 (arXiv 2112.01526) with its released block, with or without a class token: pooled queries added to the
result, relative positions apart for time, height and width. Ours is the block in an isotropic ViT: the width is the
same in all layers, the stride of keys and values too (the source lowers it where the grid shrinks).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from math import prod
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.api import (
    Attention,
    Block,
    Field,
    Layout,
    Tokens,
    TokensEncoder,
    TrunkGeometry,
    Variant,
    VariantConfig,
    attend,
    count,
    from_sequence,
    grid,
    plain,
    then,
    to_sequence,
)

Place = grid.Place
KERNEL = (3, 3, 3)
Three = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=3, max_length=3)]


class PoolingConfig(VariantConfig):
    """Knobs of pooling attention; strides are in tokens along [time, height, width]."""

    kv_stride: Three = Field([1, 2, 2], description="stride of the keys and values, in every layer")
    q_stride: Three = Field([1, 1, 1], description="stride of the queries in q_stride_layers: each 1 or even")
    q_stride_layers: list[Annotated[int, Field(ge=0)]] = Field([], description="layers (from 0) that shrink the grid")
    residual_pooling: bool = Field(True, description="add the pooled queries of the patches to the output")
    relative_position: bool = Field(True, description="add a learned term of the query for each axis to the scores")
    relative_position_rows: Three | None = Field(
        None, examples=[[3, 5, 4]], description="of the tables; interpolated to those of the pooled grid (the default)"
    )
    class_token: Literal["clip", "none"] = Field("clip", description="none: use readout mean_tokens")


class Pooled(Variant[PoolingConfig]):
    """Pooling attention, with one class token per clip or none."""

    default_readout = "class_token"
    encoder_type = TokensEncoder
    cannot_carry: ClassVar = {
        "summary": "every query sees pooled keys of all frames already",
        "registers": "the source defines no pooling for tokens outside of the grid, except the class token",
    }

    def __init__(self, config: PoolingConfig, trunk: TrunkGeometry):
        super().__init__(config, trunk)
        self.class_token = config.class_token

    def q_stride(self, layer: int) -> Place:
        """Return the stride of the queries of a layer."""
        t, h, w = self.config.q_stride
        return (t, h, w) if layer in self.config.q_stride_layers else (1, 1, 1)

    def size(self, layer: int) -> Place:
        """Return the grid of tokens at the input of a layer; `depth` gives that of the output."""
        whole = (self.trunk.num_frames, self.trunk.height, self.trunk.width)
        return reduce(grid.strided, map(self.q_stride, range(layer)), whole)

    @property
    def trunk_out(self) -> TrunkGeometry:
        frames, height, width = self.size(self.trunk.depth)
        return replace(self.trunk, num_frames=frames, height=height, width=width)

    def validate(self) -> Iterator[tuple[str, str]]:
        yield from super().validate()
        config, depth = self.config, self.trunk.depth
        if any(stride > 1 and stride % 2 for stride in config.q_stride):
            yield "q_stride", f"{config.q_stride} given; each must be 1 or even, for convolution and skip to agree"
        if config.relative_position_rows and not config.relative_position:
            yield "relative_position_rows", "there are no such tables; write relative_position: true, or leave it out"
        if max(config.q_stride_layers, default=0) >= depth:
            yield "q_stride_layers", f"{max(config.q_stride_layers)} given; layers are numbered 0 to {depth - 1}"
        for layer in range(depth):
            size = self.size(layer)
            for name, stride in (("kv_stride", config.kv_stride), ("q_stride", self.q_stride(layer))):
                if any(step > most for step, most in zip(stride, size, strict=True)):
                    yield name, f"{list(stride)} given; the grid of layer {layer}, {list(size)}, is the largest stride"
                    return

    def build_block(self, layer: int) -> PooledBlock:
        return PooledBlock(self.trunk, layer, self.config, self.size(layer), self.q_stride(layer))

    def initialise(self, encoder: nn.Module) -> None:
        for name, parameter in encoder.named_parameters():
            if ".pool." in name or ".rel_pos." in name:
                nn.init.trunc_normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.constant_(parameter, 0.02)

    def block_macs(self, layer: int) -> int:
        dim, size, num_class = self.trunk.embed_dim, self.size(layer), self.layout().num_class
        keys = grid.strided(size, self.config.kv_stride)
        num_queries, num_keys = prod(self.size(layer + 1)), prod(keys)
        row, pairs = num_class + num_queries, (num_class + num_queries) * (num_class + num_keys)
        dense = count.block_macs(self.trunk, row, pairs) + count.linear_macs(prod(size) - num_queries, dim, 3 * dim)
        positions = num_queries * dim * sum(keys) if self.config.relative_position else 0
        return dense + positions + 27 * dim * (num_queries + 2 * num_keys)

    def influence(self, layout: Layout) -> Tensor:
        return reduce(then, (self.block_influence(layout, layer) for layer in range(self.trunk.depth)))

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        size, stride, n = self.size(layer), self.q_stride(layer), layout.num_class
        through_keys = grid.windows(size, self.config.kv_stride, KERNEL).any(0)  # not all, where a stride is above 3
        of_skip = grid.windows(size, stride, [step + (step > 1) for step in stride])
        of_query = grid.windows(size, stride, KERNEL) | of_skip
        return F.pad(torch.cat([through_keys.expand(n, -1), of_query | through_keys]), (n, 0), value=True)

    def reference_block(self, block: PooledBlock, x: Tensor, layout: Layout, layer: int) -> Tensor:
        pooled = grid.windows(self.size(layer), self.q_stride(layer), [s + (s > 1) for s in self.q_stride(layer)])
        cls, patches = x.split([layout.num_class, prod(self.size(layer))], dim=1)
        skip = [patches[:, members].amax(1, keepdim=True) for members in pooled]
        x = torch.cat([cls, *skip], dim=1) + self._reference_attention(block.attn, plain.norm(block.norm1, x), layer)
        return plain.mlp_step(block, x)

    def _reference_attention(self, attn: Any, x: Tensor, layer: int) -> Tensor:
        """Oracle of the attention, with each head as a separate clip; row 0 is the class token if there is one."""
        size, kv_stride, pooled, n = self.size(layer), self.config.kv_stride, [], self.layout().num_class
        strides, heads = (self.q_stride(layer), kv_stride, kv_stride), attn.num_heads
        for z, pool, norm, stride in zip(plain.project(attn, x), attn.pool, attn.norm, strides, strict=True):
            rows = torch.cat(z.chunk(heads, -1))
            patches = plain.depthwise_convolution(pool.weight, rows[:, n:], size, stride, KERNEL)
            pooled.append(plain.norm(norm, torch.cat([rows[:, :n], patches], dim=1)))
        q, k, v = pooled
        bias = F.pad(_reference_positions(attn, q[:, n:], k[:, n:]), (n, 0, n, 0))
        y = plain.attend(q, k, v, torch.ones_like(bias[0]) > 0, 1, bias[None])
        y = torch.cat([y[:, :n], y[:, n:] + q[:, n:]], 1) if self.config.residual_pooling else y
        return plain.linear(attn.proj, torch.cat(y.chunk(heads), dim=-1))


def _reference_positions(attention: PooledAttention, q: Tensor, k: Tensor) -> Tensor:
    """Oracle of the relative positions: their part of the scores of patches in one head (B, n, m)."""
    scores = q.new_zeros(len(q), q.shape[1], k.shape[1])
    queries, keys = (torch.cartesian_prod(*map(torch.arange, size)) for size in (attention.queries, attention.keys))
    for axis, table in enumerate(attention.rel_pos or ()):
        sizes = attention.queries[axis], attention.keys[axis]
        row = _rows(*sizes)[queries[:, None, axis], keys[None, :, axis]].double()
        place = ((row + 0.5) * len(table) / (2 * max(sizes) - 1) - 0.5).clamp(0, len(table) - 1)
        near = (1 - (place[..., None] - torch.arange(len(table))).abs()).clamp(min=0).to(q.dtype)
        scores = scores + torch.einsum("bnc,nml,lc->bnm", q, near, table)
    return scores


def _rows(num_queries: int, num_keys: int) -> Tensor:
    """Return table rows for query and key of an axis (n, m): their distance in places of the finer grid, floored."""
    i, j = torch.arange(num_queries)[:, None], torch.arange(num_keys)[None]
    return max(num_queries, num_keys) * (i * num_keys + (num_keys - 1 - j) * num_queries) // (num_queries * num_keys)


class PooledAttention(Attention):
    """Pooling attention of a row [class token or none; patches]: `pool` and `norm` of q, k, v, `rel_pos` of t, h, w."""

    def __init__(self, trunk: TrunkGeometry, config: PoolingConfig, size: Place, q_stride: Place, dim_out: int):
        super().__init__(dim_out, trunk.num_heads, trunk.qkv_bias)
        if dim_out != trunk.embed_dim:
            self.qkv = nn.Linear(trunk.embed_dim, 3 * dim_out, bias=trunk.qkv_bias == "all")
        self.size, self.residual_pooling = size, config.residual_pooling
        self.num_class = int(config.class_token == "clip")
        self.queries, self.keys = grid.strided(size, q_stride), grid.strided(size, config.kv_stride)
        channels = dim_out // trunk.num_heads
        self.norm = nn.ModuleList(nn.LayerNorm(channels, eps=trunk.norm_eps) for _ in "qkv")
        self.pool = nn.ModuleList(
            nn.Conv3d(channels, channels, KERNEL, (t, h, w), padding=1, groups=channels, bias=False)
            for t, h, w in (q_stride, config.kv_stride, config.kv_stride)
        )
        self.lengths = [2 * max(sizes) - 1 for sizes in zip(self.queries, self.keys, strict=True)]
        tables = (torch.zeros(length, channels) for length in config.relative_position_rows or self.lengths)
        self.rel_pos = nn.ParameterList(tables) if config.relative_position else None
        for axis, sizes in enumerate(zip(self.queries, self.keys, strict=True)):
            self.register_buffer(f"rows_{axis}", _rows(*sizes), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        parts = zip(self.project(x), self.pool, self.norm, strict=True)
        q, k, v = (norm(self._pool(z, pool)) for z, pool, norm in parts)
        y = attend(q, k, v, self._position_scores(q))
        if self.residual_pooling:
            y = y + F.pad(q[:, :, self.num_class :], (0, 0, self.num_class, 0))
        return self.merge(y)

    def _pool(self, z: Tensor, pool: nn.Module) -> Tensor:
        """Pool (B, h, [1 +] n, c) to (B, h, [1 +] pooled n, c), except the class token."""
        volume = z[:, :, self.num_class :].flatten(0, 1).transpose(1, 2).unflatten(2, self.size)
        pooled = grid.convolve(pool, volume).flatten(2).transpose(1, 2).unflatten(0, (-1, self.num_heads))
        return torch.cat([z[:, :, : self.num_class], pooled], dim=2)

    def _position_scores(self, q: Tensor) -> Tensor | None:
        """Return position scores of pooled queries (B, h, [1 +] n, c) with all keys; 0 for the class token."""
        if self.rel_pos is None:
            return None
        volume, scores = q[:, :, self.num_class :].unflatten(2, self.queries), q.new_zeros(())
        for axis, table in enumerate(self.rel_pos):
            if len(table) != self.lengths[axis]:
                table = F.interpolate(table.T[None], self.lengths[axis], mode="linear")[0].T
            vectors = table[self.get_buffer(f"rows_{axis}")]  # (queries, keys, c)
            lines = volume.movedim(2 + axis, 2)
            along = (lines.flatten(3, 4) @ vectors.transpose(1, 2)).unflatten(3, lines.shape[3:5])
            keys = [size if i == axis else 1 for i, size in enumerate(self.keys)]
            scores = scores + along.movedim(2, 2 + axis).unflatten(-1, keys)
        return F.pad(scores.flatten(5).flatten(2, 4), (self.num_class, 0, self.num_class, 0)).to(q.dtype)


class PooledBlock(Block):
    """One layer on `Tokens` with a class token per clip or none; a `dim_out` widens the tokens."""

    def __init__(
        self, trunk: TrunkGeometry, layer: int, config: PoolingConfig, size: Place, q_stride: Place, dim_out: int = 0
    ):
        dim, dim_out = trunk.embed_dim, dim_out or trunk.embed_dim
        attention = PooledAttention(trunk, config, size, q_stride, dim_out)
        super().__init__(replace(trunk, embed_dim=dim_out), layer, attention)
        self.norm1 = nn.LayerNorm(dim, eps=trunk.norm_eps)
        self.proj = nn.Linear(dim, dim_out) if dim_out != dim else None
        t, h, w = (step + (step > 1) for step in q_stride)
        pool = nn.MaxPool3d((t, h, w), q_stride, (t // 2, h // 2, w // 2))
        self.pool_skip = pool if max(q_stride) > 1 else nn.Identity()

    def forward(self, tokens: Tokens) -> Tokens:  # type: ignore[override]
        x = to_sequence(tokens)
        normed = self.norm1(x)
        skip = from_sequence(x if self.proj is None else self.proj(normed), tokens)
        skip = skip._replace(patches=self.pool_skip(skip.patches.movedim(-1, 1)).movedim(1, -1))
        x = to_sequence(skip) + self.drop_path(self.attn(normed))
        return from_sequence(x + self.drop_path(self.mlp(self.norm2(x))), skip)
