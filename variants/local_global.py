"""Attention to the neighbourhood over all frames, then to a coarse grid of the whole clip.

Local: keys of all frames whose row and column differ by at most floor(local_fraction * H / 2) and of W / 2 from the
query's. Global: keys at every `global_stride`-th frame, row and column. The class token is seen by all in both, sees
all in the first, and the coarse grid in the second. A linear layer that starts at zero follows the local attention.
The local attention runs as a mask on joint attention, and its counted work is that of joint attention; the global one
computes scores for the coarse keys only.
Source: TimeSformer (arXiv 2102.05095), "sparse local global" (T x H/2 x W/2 neighbourhood, stride 2 in all three
dimensions). No code was released; the class token, the cut at the borders and the place of the linear layer (as in its
divided attention) are our reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from harness.api import (
    Attention,
    Block,
    DegenerateCase,
    Field,
    Layout,
    SequenceEncoder,
    Tokens,
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


class LocalGlobalConfig(VariantConfig):
    """Knobs of local-global attention."""

    local_fraction: Annotated[float, Field(ge=0, le=2)] = Field(
        0.5, description="height and width of the neighbourhood / those of the frame; 2 reaches it all from a corner"
    )
    global_stride: Annotated[int, Field(ge=1)] = Field(2, description="frames, rows and columns from key to key")
    local_fc: Literal["zero_init", "random_init", "none"] = Field(
        "zero_init", description="a linear layer after local attention; starting at zero = no local attention at step 0"
    )


class LocalGlobal(Variant):
    """Local, then coarse global attention, one class token per clip."""

    Config = LocalGlobalConfig
    config: LocalGlobalConfig
    class_token = "clip"
    default_readout = "class_token"
    cannot_carry: ClassVar = {"summary": "local attention reads every frame already"}

    def build_encoder(self) -> LocalGlobalEncoder:
        blocks = (LocalGlobalBlock(self.trunk, layer, self.config) for layer in range(self.trunk.depth))
        return LocalGlobalEncoder(blocks, self._local(self.layout()))

    def initialise(self, encoder: nn.Module) -> None:
        if self.config.local_fc == "zero_init":
            for block in encoder.blocks:  # type: ignore[union-attr]
                nn.init.zeros_(block.local_fc.weight)
                nn.init.zeros_(block.local_fc.bias)

    def _reach(self, size: int) -> int:
        """Rows or columns to each side that a patch sees, along an axis of `size` patches."""
        return int(self.config.local_fraction * size / 2 + 1e-9)

    def _local(self, layout: Layout) -> Tensor:
        """Who sees whom in the local step; class token and registers see all and are seen by all."""
        near = layout.is_patch[:, None] & layout.is_patch[None]
        for place, size in ((layout.row, layout.height), (layout.column, layout.width)):
            near = near & ((place[:, None] - place[None]).abs() <= self._reach(size))
        return near | ~layout.is_patch[:, None] | ~layout.is_patch[None]

    def _global(self, layout: Layout) -> Tensor:
        """Who sees whom in the global step: all see the class token, the registers and the coarse grid."""
        stride = self.config.global_stride
        coarse = (layout.frame % stride == 0) & (layout.row % stride == 0) & (layout.column % stride == 0)
        return (coarse | ~layout.is_patch)[None].expand(layout.num_tokens, -1)

    def block_macs(self, layer: int) -> int:
        trunk, dim, stride = self.trunk, self.trunk.embed_dim, self.config.global_stride
        layout = self.layout()
        num_tokens = layout.num_tokens
        coarse = -(-trunk.num_frames // stride) * -(-trunk.height // stride) * -(-trunk.width // stride)
        local = count.linear_macs(num_tokens, dim, 4 * dim) + count.attention_macs(num_tokens**2, dim)
        if self.config.local_fc != "none":
            local += count.linear_macs(num_tokens, dim, dim)
        return local + count.block_macs(trunk, num_tokens, num_tokens * (1 + coarse + layout.num_registers))

    def masked_macs(self) -> int:
        trunk, patches = self.trunk, self.trunk.num_frames * self.trunk.num_patches
        seen = trunk.num_frames**2  # pairs of patches that see each other: all frames, near rows, near columns
        for size in (trunk.height, trunk.width):
            reach = self._reach(size)
            seen *= sum(min(place + reach, size - 1) - max(place - reach, 0) + 1 for place in range(size))
        return trunk.depth * count.attention_macs(patches**2 - seen, trunk.embed_dim)

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        return then(self._local(layout), self._global(layout) | layout.itself())

    def reference_block(self, block: LocalGlobalBlock, x: Tensor, layout: Layout, layer: int) -> Tensor:
        y = plain.self_attention(block.local_attn, plain.norm(block.local_norm1, x), self._local(layout))
        x = x + (plain.linear(block.local_fc, y) if isinstance(block.local_fc, nn.Linear) else y)
        x = x + plain.self_attention(block.attn, plain.norm(block.norm1, x), self._global(layout))
        return x + plain.mlp(block.mlp, plain.norm(block.norm2, x))

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        if self.config.local_fc == "zero_init":
            yield DegenerateCase("stride 1, zero init", equals="joint", config={"global_stride": 1}, at_init=True)


class LocalGlobalEncoder(SequenceEncoder):
    """Chains blocks over a row of all tokens; holds the local mask that they share."""

    def __init__(self, blocks: Iterator[nn.Module], local: Tensor):
        super().__init__(blocks)
        self.local: Tensor
        self.register_buffer("local", local, persistent=False)

    def forward(self, tokens: Tokens) -> Tokens:
        x = to_sequence(tokens)
        for block in self.blocks:
            x = block(x, self.local)
        return from_sequence(x, tokens)


class LocalGlobalBlock(Block):
    """One layer on a row of tokens (class token, patches, registers); global attention has an image ViT's names."""

    attn: Attention

    def __init__(self, trunk: TrunkGeometry, layer: int, config: LocalGlobalConfig):
        super().__init__(trunk, layer)
        dim = trunk.embed_dim
        self.grid, self.stride = (trunk.num_frames, trunk.height, trunk.width), config.global_stride
        self.num_patches = trunk.num_frames * trunk.num_patches
        self.local_norm1 = nn.LayerNorm(dim, eps=trunk.norm_eps)
        self.local_attn = Attention(dim, trunk.num_heads, trunk.qkv_bias)
        self.local_fc = nn.Identity() if config.local_fc == "none" else nn.Linear(dim, dim)

    def forward(self, x: Tensor, local: Tensor) -> Tensor:  # type: ignore[override]
        x = x + self.drop_path(self.local_fc(self.local_attn(self.local_norm1(x), local)))
        return super().forward(x)

    def mix(self, x: Tensor) -> Tensor:
        q, k, v = self.attn.project(x)
        return self.attn.merge(attend(q, self._coarse(k), self._coarse(v)))

    def _coarse(self, x: Tensor) -> Tensor:
        """Keys or values (B, h, n, c) of the class token, of every stride-th frame, row and column, and registers."""
        cls, patches, registers = x.tensor_split((1, 1 + self.num_patches), dim=-2)
        grid = patches.unflatten(-2, self.grid)
        coarse = grid[..., :: self.stride, :: self.stride, :: self.stride, :].flatten(-4, -2)
        return torch.cat([cls, coarse, registers], dim=-2)
