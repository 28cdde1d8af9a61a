"""Pre-norm transformer blocks and the encoders that chain them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.nn.attention import Attention, attend, pooled_means
from harness.nn.geometry import TrunkGeometry
from harness.nn.steps import mlp as mlp_step
from harness.nn.tokens import FrameTokens, Tokens, from_frames, from_sequence, to_frames, to_sequence

SharedRows = tuple[Tensor, Tensor]  # keys and values (B, h, m, c) that all frames see


class Block(nn.Module):
    """x += attention(norm1(x)); x += mlp(norm2(x)), over a row of tokens (B, n, D).

    A variant may subclass it and override `mix`, which maps normalised tokens to what is added to them.
    """

    def __init__(self, trunk: TrunkGeometry, layer: int = 0, attention: nn.Module | None = None):
        super().__init__()
        self.norm1 = nn.LayerNorm(trunk.embed_dim, eps=trunk.norm_eps)
        self.attn: Any = attention or Attention(trunk.embed_dim, trunk.num_heads, trunk.qkv_bias)
        self.norm2, self.mlp, self.drop_path = mlp_step(trunk, layer)

    def mix(self, x: Tensor) -> Tensor:
        """Hook: exchange information between normalised tokens; here every token sees every token."""
        return self.attn(x)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to a row of tokens (B, n, D)."""
        x = x + self.drop_path(self.mix(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class MaskedBlock(Block):
    """A standard block over a row of tokens (B, n, D) whose attention is masked."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """Apply the block under a bool mask (n, n): True where the row's token sees the column's."""
        x = x + self.drop_path(self.attn(self.norm1(x), mask))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class FrameAttention(Attention):
    """Attention within each frame, with hooks for schemes that let other frames in through keys and values.

    Every query of a frame sees the tokens of its own frame (as the hooks leave them), the summaries of all frames and
    the registers; a register sees all tokens of the clip, unmixed, and all registers.
    """

    #: True where `mix_input` changes its input: what reads unmixed keys and values has them projected separately
    mixes_input = False

    def __init__(self, trunk: TrunkGeometry, layer: int = 0):
        super().__init__(trunk.embed_dim, trunk.num_heads, trunk.qkv_bias)
        self.num_patches = trunk.num_patches
        self.num_summaries = trunk.summaries(layer)
        self.summary_mixed = trunk.global_tokens.summary_mixed

    def mix_input(self, x: Tensor) -> Tensor:
        """Hook: change the normalised tokens (B, T, N, D) before the projection."""
        return x

    def mix_projected(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hook: change queries, keys and values (B, T, h, N, c) after the projection."""
        return q, k, v

    def attend_frames(self, q: Tensor, k: Tensor, v: Tensor, shared: list[SharedRows]) -> Tensor:
        """Hook: attend with the queries (B, T, h, N, c) of each frame to its own rows and to the shared ones."""
        return attend(q, *with_shared((k, v), shared))

    def forward(self, frames: FrameTokens) -> FrameTokens:  # type: ignore[override]
        """Map the normalised tokens of all frames to what is added to them."""
        q0, k0, v0 = self.project(self.mix_input(frames.x))
        q, k, v = self.mix_projected(q0, k0, v0)
        shared: list[SharedRows] = []
        if self.num_summaries:
            shared.append(self._summaries(frames.x, *((k, v) if self.summary_mixed else (k0, v0))))
        if frames.registers is None:
            return FrameTokens(self.merge(self.attend_frames(q, k, v, shared)), None)
        qr, kr, vr = self.project(frames.registers)
        if self.mixes_input:
            k0, v0 = self.project_keys_values(frames.x)
        everything = (torch.cat([a.transpose(1, 2).flatten(2, 3), b], -2) for a, b in ((k0, kr), (v0, vr)))
        y = self.attend_frames(q, k, v, [*shared, (kr, vr)])
        return FrameTokens(self.merge(y), self.merge(attend(qr, *everything)))

    def _summaries(self, x: Tensor, k: Tensor, v: Tensor) -> SharedRows:
        """Return keys and values (B, h, T R, c) of the summaries of all frames."""
        if self.mixes_input and not self.summary_mixed:  # the projection is linear: project the means, not all tokens
            k, v = self.project_keys_values(pooled_means(x[..., -self.num_patches :, :], self.num_summaries))
        else:
            k, v = (pooled_means(z[..., -self.num_patches :, :], self.num_summaries) for z in (k, v))
        return k.transpose(1, 2).flatten(2, 3), v.transpose(1, 2).flatten(2, 3)


def with_shared(rows: Sequence[Tensor], shared: list[SharedRows]) -> list[Tensor]:
    """Append rows (B, h, m, c) that all frames see to the keys and values of each frame (B, T, h, n, c)."""
    for more in shared:
        of_frames = (z.unsqueeze(1).expand(-1, rows[0].shape[1], -1, -1, -1) for z in more)
        rows = [torch.cat(pair, dim=-2) for pair in zip(rows, of_frames, strict=True)]
    return list(rows)


class FrameBlock(Block):
    """A pre-norm block on tokens laid out frame by frame (`FrameTokens`)."""

    def forward(self, frames: FrameTokens) -> FrameTokens:  # type: ignore[override]
        """Apply the block to the tokens of the frames and to the registers."""
        normed = self.each(self.norm1, frames)
        return self.add_mlp(self.add(frames, self.attn(normed)))

    @staticmethod
    def each(module: nn.Module, frames: FrameTokens) -> FrameTokens:
        """Apply a module to the tokens of the frames and to the registers."""
        return FrameTokens(module(frames.x), None if frames.registers is None else module(frames.registers))

    def add(self, frames: FrameTokens, added: FrameTokens) -> FrameTokens:
        """Add a branch to the residual stream, dropped for frames and registers of a clip together."""
        if frames.registers is None or added.registers is None:
            return FrameTokens(frames.x + self.drop_path(added.x), None)
        x, registers = self.drop_path.together(added.x, added.registers)
        return FrameTokens(frames.x + x, frames.registers + registers)

    def add_mlp(self, frames: FrameTokens, branch: FrameTokens | None = None) -> FrameTokens:
        """Add mlp(norm2(branch)), by default of the residual stream itself."""
        return self.add(frames, self.each(self.mlp, self.each(self.norm2, branch or frames)))


class FrameEncoder(nn.Module):
    """Chains blocks that work on `FrameTokens`."""

    def __init__(self, blocks: Iterable[nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, tokens: Tokens) -> Tokens:
        """Apply the blocks."""
        height, width = tokens.patches.shape[2:4]
        frames = to_frames(tokens)
        for block in self.blocks:
            frames = block(frames)
        return from_frames(frames, height, width)


class SequenceEncoder(nn.Module):
    """Chains blocks that work on one row of all tokens (B, n, D): class token, patches, registers."""

    def __init__(self, blocks: Iterable[nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, tokens: Tokens) -> Tokens:
        """Apply the blocks."""
        x = to_sequence(tokens)
        for block in self.blocks:
            x = block(x)
        return from_sequence(x, tokens)


class MaskedEncoder(SequenceEncoder):
    """Chains blocks over a row of all tokens under one mask each; equal masks are held once."""

    def __init__(self, blocks: Iterable[nn.Module], masks: Iterable[Tensor] = ()):
        super().__init__(blocks)
        distinct: list[Tensor] = []
        self.mask_of: list[int] = []  # for each block, the number of its mask
        for mask in masks:
            equal = (i for i, other in enumerate(distinct) if not mask.is_meta and torch.equal(mask, other))
            self.mask_of.append(next(equal, len(distinct)))
            if self.mask_of[-1] == len(distinct):
                distinct.append(mask)
                self.register_buffer(f"mask_{len(distinct) - 1}", mask, persistent=False)

    def forward(self, tokens: Tokens) -> Tokens:
        """Apply the blocks, each under its mask."""
        x = to_sequence(tokens)
        for block, mask in zip(self.blocks, self.mask_of, strict=True):
            x = block(x, self.get_buffer(f"mask_{mask}"))
        return from_sequence(x, tokens)


class TokensEncoder(nn.Module):
    """Chains blocks that take and return `Tokens`, for schemes that treat patches and class token differently."""

    def __init__(self, blocks: Iterable[nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, tokens: Tokens) -> Tokens:
        """Apply the blocks."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens
