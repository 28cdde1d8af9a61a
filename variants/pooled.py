"""Queries, keys and values are pooled over the grid before attention, so that fewer of them meet.

Each of them goes through its own strided 3x3x3 convolution, one filter per channel of a head, and a norm; the class
token skips the convolution. A stride of the queries above 1 shrinks the grid for all layers that follow.
Source: MViTv2 (arXiv 2112.01526) with its released block: pooled queries added to the result, relative positions
apart for time, height and width. Ours is the block in an isotropic ViT: the width is the same in all layers, the
stride of keys and values too (the source lowers it where the grid shrinks), and tables of relative positions have
the length that the pooled grid needs, so none is interpolated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.api import (
    Attention,
    DropPath,
    Field,
    Layout,
    Mlp,
    Tokens,
    TokensEncoder,
    TrunkGeometry,
    Variant,
    VariantConfig,
    attend,
    count,
    from_sequence,
    plain,
    then,
    to_sequence,
)

Place = tuple[int, int, int]  # (time, height, width)
Stride = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=3, max_length=3)]


class PoolingConfig(VariantConfig):
    """Knobs of pooling attention; strides are in tokens along [time, height, width]."""

    kv_stride: Stride = Field([1, 2, 2], description="stride of the keys and values, in every layer")
    q_stride: Stride = Field([1, 1, 1], description="stride of the queries in q_stride_layers: each 1 or even")
    q_stride_layers: list[Annotated[int, Field(ge=0)]] = Field([], description="layers (from 0) that shrink the grid")
    residual_pooling: bool = Field(True, description="add the pooled queries of the patches to what they read")
    relative_position: bool = Field(True, description="scores get a learned term for each axis, from the query")


class Pooled(Variant):
    """Pooling attention, one class token per clip."""

    Config = PoolingConfig
    config: PoolingConfig
    class_token = "clip"
    default_readout = "class_token"
    encoder_type = TokensEncoder
    cannot_carry: ClassVar = {
        "summary": "every query sees pooled keys of all frames already",
        "registers": "the source defines pooling beside the grid for the class token alone",
    }

    def q_stride(self, layer: int) -> Place:
        """Stride of the queries of a layer."""
        t, h, w = self.config.q_stride if layer in self.config.q_stride_layers else (1, 1, 1)
        return t, h, w

    def grid(self, layer: int) -> Place:
        """Grid of tokens that enters a layer; that of layer `depth` leaves the encoder."""
        grid = (self.trunk.num_frames, self.trunk.height, self.trunk.width)
        for before in range(layer):
            grid = strided(grid, self.q_stride(before))
        return grid

    @property
    def trunk_out(self) -> TrunkGeometry:
        frames, height, width = self.grid(self.trunk.depth)
        return replace(self.trunk, num_frames=frames, height=height, width=width)

    def validate(self) -> Iterator[tuple[str, str]]:
        yield from super().validate()
        config, depth = self.config, self.trunk.depth
        if any(stride > 1 and stride % 2 for stride in config.q_stride):
            yield "q_stride", f"{config.q_stride} given; each must be 1 or even, for convolution and skip to agree"
        if max(config.q_stride_layers, default=0) >= depth:
            yield "q_stride_layers", f"{max(config.q_stride_layers)} given; layers are numbered 0 to {depth - 1}"
        for layer in range(depth):
            grid = self.grid(layer)
            for name, stride in (("kv_stride", config.kv_stride), ("q_stride", self.q_stride(layer))):
                if any(step > size for step, size in zip(stride, grid, strict=True)):
                    yield name, f"{list(stride)} given; layer {layer} has a grid of {list(grid)}, which is the largest"
                    return

    def build_block(self, layer: int) -> PooledBlock:
        return PooledBlock(self.trunk, layer, self.config, self.grid(layer), self.q_stride(layer))

    def initialise(self, encoder: nn.Module) -> None:
        for name, parameter in encoder.named_parameters():
            if ".pool_" in name or ".rel_pos_" in name:
                nn.init.trunc_normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.constant_(parameter, 0.02)

    def block_macs(self, layer: int) -> int:
        dim, grid = self.trunk.embed_dim, self.grid(layer)
        keys = strided(grid, self.config.kv_stride)
        num_in, num_queries, num_keys = prod(grid), prod(self.grid(layer + 1)), prod(keys)
        dense = count.linear_macs(1 + num_in, dim, 3 * dim) + count.linear_macs(1 + num_queries, dim, dim)
        mlp = 2 * count.linear_macs(1 + num_queries, dim, self.trunk.mlp_dim)
        pooling = 27 * dim * (num_queries + 2 * num_keys)
        positions = num_queries * dim * sum(keys) if self.config.relative_position else 0
        return dense + mlp + pooling + positions + count.attention_macs((1 + num_queries) * (1 + num_keys), dim)

    def influence(self, layout: Layout) -> Tensor:
        total = layout.itself()
        for layer in range(self.trunk.depth):
            total = then(total, self.block_influence(layout, layer))
        return total

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        grid, stride = self.grid(layer), self.q_stride(layer)
        through_keys = near(grid, self.config.kv_stride, 3).any(0)  # strides above 3 leave tokens that no key reads
        of_query = near(grid, stride, 3) | near(grid, stride, None)
        patches = torch.cat([through_keys[None], of_query | through_keys])
        return torch.cat([torch.ones(len(patches), 1, dtype=torch.bool), patches], dim=1)

    def reference(self, encoder: nn.Module, tokens: Tokens) -> Tokens:
        x = to_sequence(tokens)
        for layer, block in enumerate(encoder.blocks):  # type: ignore[arg-type]
            x = self.reference_block(block, x, self.layout(), layer)
        shape = (len(x), *self.grid(self.trunk.depth), 1)
        return from_sequence(x, tokens._replace(patches=x.new_empty(shape)))

    def reference_block(self, block: PooledBlock, x: Tensor, layout: Layout, layer: int) -> Tensor:
        pooled = near(self.grid(layer), self.q_stride(layer), None)
        skip = [x[:, 0], *(x[:, 1:][:, members].amax(1) for members in pooled)]
        x = torch.stack(skip, dim=1) + self._reference_attention(block.attn, plain.norm(block.norm1, x), layer)
        return x + plain.mlp(block.mlp, plain.norm(block.norm2, x))

    def _reference_attention(self, attention: PooledAttention, x: Tensor, layer: int) -> Tensor:
        """Head by head; row 0 is the class token."""
        grid, heads = self.grid(layer), attention.num_heads
        strides = (self.q_stride(layer), self.config.kv_stride, self.config.kv_stride)
        pools = ((attention.pool_q, attention.norm_q), (attention.pool_k, attention.norm_k),
                 (attention.pool_v, attention.norm_v))  # fmt: skip
        outputs = []
        for rows in zip(*(z.chunk(heads, -1) for z in plain.project(attention, x)), strict=True):
            q, k, v = (
                plain.norm(norm, _reference_pool(pool.weight, z, grid, stride))
                for z, (pool, norm), stride in zip(rows, pools, strides, strict=True)
            )
            bias = _reference_positions(attention, q, strided(grid, strides[0]), strided(grid, strides[1]))
            y = plain.attend(q, k, v, torch.ones(q.shape[1], k.shape[1]) > 0, 1, bias.unsqueeze(0))
            outputs.append(torch.cat([y[:, :1], y[:, 1:] + q[:, 1:]], 1) if self.config.residual_pooling else y)
        return plain.linear(attention.proj, torch.cat(outputs, dim=-1))


def strided(grid: Place, stride: Place | list[int]) -> Place:
    """Grid after pooling: an axis of n places keeps ceil(n / stride)."""
    t, h, w = (-(-size // step) for size, step in zip(grid, stride, strict=True))
    return t, h, w


def near(grid: Place, stride: Place | list[int], kernel: int | None, offset: Place | None = None) -> Tensor:
    """Bool (places of the pooled grid, places of the grid): which places the window of a pooled place covers.

    A kernel of None is the skip's: stride + 1 where the stride is above 1. `offset` picks one place of the window.
    """
    whole = torch.ones(1, 1)
    for axis, (size, step) in enumerate(zip(grid, stride, strict=True)):
        width = kernel or (step + 1 if step > 1 else 1)
        first = torch.arange(-(-size // step))[:, None] * step - width // 2
        at = torch.arange(size)[None] - first  # which place of the window it is
        whole = torch.kron(whole, ((at >= 0) & (at < width) if offset is None else at == offset[axis]).float())
    return whole > 0


def _reference_pool(weight: Tensor, rows: Tensor, grid: Place, stride: Place | list[int]) -> Tensor:
    """Depthwise convolution of the patches of one head, place by place of its window: (B, 1 + n, c)."""
    pooled = torch.zeros(())
    for t, h, w in product(range(3), repeat=3):
        chosen = near(grid, stride, 3, (t, h, w)).to(rows.dtype)
        pooled = pooled + torch.einsum("oi,bic->boc", chosen, rows[:, 1:]) * weight[:, 0, t, h, w]
    return torch.cat([rows[:, :1], pooled], dim=1)


def _reference_positions(attention: PooledAttention, q: Tensor, queries: Place, keys: Place) -> Tensor:
    """What relative positions add to the scores of one head, pair by pair: (B, 1 + queries, 1 + keys)."""
    scores = q.new_zeros(len(q), 1 + prod(queries), 1 + prod(keys))
    if attention.rel_pos_t is None:
        return scores
    tables = (attention.rel_pos_t, attention.rel_pos_h, attention.rel_pos_w)
    for i, from_place in enumerate(product(*map(range, queries)), start=1):
        for j, to_place in enumerate(product(*map(range, keys)), start=1):
            for table, a, b, num_q, num_k in zip(tables, from_place, to_place, queries, keys, strict=True):
                # both in units of the finer of the two grids; an integer product avoids rounding below a whole row
                row = max(num_q, num_k) * (a * num_k + (num_k - 1 - b) * num_q) // (num_q * num_k)
                scores[:, i, j] = scores[:, i, j] + (q[:, i] * table[row]).sum(-1)
    return scores


class PooledAttention(Attention):
    """Pooling attention of a row [class token; patches (t h w)]; parameter names as in the MViTv2 code."""

    rel_pos_t: nn.Parameter | None
    rel_pos_h: nn.Parameter | None
    rel_pos_w: nn.Parameter | None

    def __init__(self, trunk: TrunkGeometry, config: PoolingConfig, grid: Place, q_stride: Place, dim_out: int):
        super().__init__(dim_out, trunk.num_heads, trunk.qkv_bias)
        if dim_out != trunk.embed_dim:
            self.qkv = nn.Linear(trunk.embed_dim, 3 * dim_out, bias=trunk.qkv_bias == "all")
        self.grid, self.residual_pooling = grid, config.residual_pooling
        channels = dim_out // trunk.num_heads
        for name, stride in (("q", q_stride), ("k", config.kv_stride), ("v", config.kv_stride)):
            pool = nn.Conv3d(channels, channels, 3, tuple(stride), padding=1, groups=channels, bias=False)
            self.add_module(f"pool_{name}", pool)
            self.add_module(f"norm_{name}", nn.LayerNorm(channels, eps=trunk.norm_eps))
        self.queries, self.keys = strided(grid, q_stride), strided(grid, config.kv_stride)
        for axis, num_q, num_k in zip("thw", self.queries, self.keys, strict=True):
            table = nn.Parameter(torch.zeros(2 * max(num_q, num_k) - 1, channels)) if config.relative_position else None
            self.register_parameter(f"rel_pos_{axis}", table)
            self.register_buffer(f"row_{axis}", _rows(num_q, num_k), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.project(x)
        q, k, v = self._pool("q", q), self._pool("k", k), self._pool("v", v)
        y = attend(q, k, v, self._position_scores(q))
        if self.residual_pooling:
            y = torch.cat([y[:, :, :1], y[:, :, 1:] + q[:, :, 1:]], dim=2)
        return self.merge(y)

    def _pool(self, name: str, z: Tensor) -> Tensor:
        """(B, h, 1 + n, c) -> (B, h, 1 + pooled n, c), the class token through the norm only."""
        volume = z[:, :, 1:].flatten(0, 1).transpose(1, 2).unflatten(2, self.grid)
        pooled = self.get_submodule(f"pool_{name}")(volume).flatten(2).transpose(1, 2)
        pooled = pooled.unflatten(0, (-1, self.num_heads))
        return self.get_submodule(f"norm_{name}")(torch.cat([z[:, :, :1], pooled], dim=2))

    def _position_scores(self, q: Tensor) -> Tensor | None:
        """Relative positions of the pooled queries (B, h, 1 + n, c) to all keys; zero to and from the class token."""
        if self.rel_pos_t is None:
            return None
        volume, scores = q[:, :, 1:].unflatten(2, self.queries), torch.zeros((), dtype=q.dtype, device=q.device)
        for axis, name in enumerate("thw"):
            table = self.get_parameter(f"rel_pos_{name}")[self.get_buffer(f"row_{name}")]  # (queries, keys, c)
            lines = volume.movedim(2 + axis, 2)
            along = (lines.flatten(3, 4) @ table.transpose(1, 2)).unflatten(3, lines.shape[3:5]).movedim(2, 2 + axis)
            shape = [num if i == axis else 1 for i, num in enumerate(self.keys)]
            scores = scores + along.unflatten(-1, shape)
        return F.pad(scores.flatten(5).flatten(2, 4), (1, 0, 1, 0)).to(q.dtype)


def _rows(num_queries: int, num_keys: int) -> Tensor:
    """Row of a relative-position table for each query and key along one axis (queries, keys)."""
    query, key = torch.arange(num_queries)[:, None], torch.arange(num_keys)[None]
    finer = max(num_queries, num_keys)
    return finer * (query * num_keys + (num_keys - 1 - key) * num_queries) // (num_queries * num_keys)


class PooledBlock(nn.Module):
    """One layer on `Tokens` with a class token per clip; `dim_out` other than the trunk's width widens the tokens."""

    def __init__(
        self, trunk: TrunkGeometry, layer: int, config: PoolingConfig, grid: Place, q_stride: Place,
        dim_out: int | None = None,
    ):  # fmt: skip
        super().__init__()
        dim, dim_out = trunk.embed_dim, dim_out or trunk.embed_dim
        self.norm1 = nn.LayerNorm(dim, eps=trunk.norm_eps)
        self.attn = PooledAttention(trunk, config, grid, q_stride, dim_out)
        self.proj = nn.Linear(dim, dim_out) if dim_out != dim else None
        self.norm2 = nn.LayerNorm(dim_out, eps=trunk.norm_eps)
        self.mlp = Mlp(dim_out, int(dim_out * trunk.mlp_ratio), trunk.gelu)
        self.drop_path = DropPath(trunk.layer_drop_path(layer))
        kernel = [s + 1 if s > 1 else 1 for s in q_stride]
        shrinks = max(q_stride) > 1
        self.pool_skip = nn.MaxPool3d(kernel, q_stride, [k // 2 for k in kernel]) if shrinks else nn.Identity()

    def forward(self, tokens: Tokens) -> Tokens:
        x = to_sequence(tokens)
        normed = self.norm1(x)
        skip = from_sequence(x if self.proj is None else self.proj(normed), tokens)
        patches = self.pool_skip(skip.patches.movedim(-1, 1)).movedim(1, -1)
        skip = Tokens(patches, skip.cls)
        x = to_sequence(skip) + self.drop_path(self.attn(normed))
        return from_sequence(x + self.drop_path(self.mlp(self.norm2(x))), skip)
