"""Pre-norm transformer blocks and the encoders that chain them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from harness.nn.attention import Attention, attend, pooled_means
from harness.nn.geometry import TrunkGeometry
from harness.nn.tokens import FrameTokens, Tokens, from_frames, from_sequence, to_frames, to_sequence


class DropPath(nn.Module):
    """Stochastic depth: in training, zeroes a clip's branch with probability `rate` and rescales the rest."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * keep.to(x.dtype) / (1 - self.rate)


class Mlp(nn.Module):
    """fc2(GELU(fc1(x))), (..., D) -> (..., D)."""

    def __init__(self, dim: int, hidden: int, gelu: str = "erf"):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU(approximate="tanh" if gelu == "tanh" else "none")
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """x += attention(norm1(x)); x += mlp(norm2(x)), over a row of tokens (B, n, D).

    A variant subclasses it and overrides `mix`, which maps normalised tokens to what is added to them.
    """

    def __init__(self, trunk: TrunkGeometry, layer: int = 0, attention: nn.Module | None = None):
        super().__init__()
        self.norm1 = nn.LayerNorm(trunk.embed_dim, eps=trunk.norm_eps)
        self.attn: Any = attention or Attention(trunk.embed_dim, trunk.num_heads, trunk.qkv_bias)
        self.norm2 = nn.LayerNorm(trunk.embed_dim, eps=trunk.norm_eps)
        self.mlp = Mlp(trunk.embed_dim, trunk.mlp_dim, trunk.gelu)
        self.drop_path = DropPath(trunk.layer_drop_path(layer))

    def mix(self, x: Tensor) -> Tensor:
        """Exchanges information between normalised tokens; here: everyone sees everyone."""
        return self.attn(x)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.mix(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class FrameAttention(Attention):
    """Attention within each frame, with hooks for schemes that let other frames in through keys and values.

    Every query of a frame sees the tokens of its own frame (after `mix_keys_values`), the summaries of all frames
    and the registers; a register sees all tokens of the clip, unmixed, and all registers.
    """

    def __init__(self, trunk: TrunkGeometry, layer: int = 0):
        super().__init__(trunk.embed_dim, trunk.num_heads, trunk.qkv_bias)
        self.num_patches = trunk.num_patches
        self.num_summaries = trunk.summaries(layer)
        self.summary_mixed = trunk.global_tokens.summary_mixed

    def mix_input(self, x: Tensor) -> Tensor:
        """Hook: normalised tokens (B, T, N, D) before the projection."""
        return x

    def mix_projected(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hook: queries, keys and values (B, T, h, N, c) after the projection."""
        return q, k, v

    def forward(self, frames: FrameTokens) -> FrameTokens:  # type: ignore[override]
        """Normalised tokens of all frames in, what is added to them out."""
        q0, k0, v0 = self.project(self.mix_input(frames.x))
        q, k, v = self.mix_projected(q0, k0, v0)
        if self.num_summaries:
            k, v = self._with_summaries(k, k0), self._with_summaries(v, v0)
        if frames.registers is None:
            return FrameTokens(self.merge(attend(q, k, v)), None)
        qr, kr, vr = self.project(frames.registers)
        k, v = (torch.cat([a, b.unsqueeze(1).expand(-1, a.shape[1], -1, -1, -1)], -2) for a, b in ((k, kr), (v, vr)))
        everything = (torch.cat([a.transpose(1, 2).flatten(2, 3), b], -2) for a, b in ((k0, kr), (v0, vr)))
        return FrameTokens(self.merge(attend(q, k, v)), self.merge(attend(qr, *everything)))

    def _with_summaries(self, mixed: Tensor, plain: Tensor) -> Tensor:
        """Appends the summaries of all frames to the keys (or values) of every frame: (B, T, h, N + T R, c)."""
        source = mixed if self.summary_mixed else plain
        means = pooled_means(source[..., -self.num_patches :, :], self.num_summaries)
        rows = means.transpose(1, 2).flatten(2, 3).unsqueeze(1).expand(-1, mixed.shape[1], -1, -1, -1)
        return torch.cat([mixed, rows], dim=-2)


class FrameBlock(Block):
    """A pre-norm block on tokens laid out frame by frame (`FrameTokens`)."""

    def forward(self, frames: FrameTokens) -> FrameTokens:  # type: ignore[override]
        normed = FrameTokens(self.norm1(frames.x), self._each(self.norm1, frames.registers))
        added = self.attn(normed)
        x = frames.x + self.drop_path(added.x)
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        if frames.registers is None:
            return FrameTokens(x, None)
        registers = frames.registers + self.drop_path(added.registers)
        return FrameTokens(x, registers + self.drop_path(self.mlp(self.norm2(registers))))

    @staticmethod
    def _each(module: nn.Module, x: Tensor | None) -> Tensor | None:
        return None if x is None else module(x)


class FrameEncoder(nn.Module):
    """Chains blocks that work on `FrameTokens`."""

    def __init__(self, blocks: Iterable[nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, tokens: Tokens) -> Tokens:
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
        x = to_sequence(tokens)
        for block in self.blocks:
            x = block(x)
        return from_sequence(x, tokens)


class TokensEncoder(nn.Module):
    """Chains blocks that take and return `Tokens`, for schemes that treat patches and class token differently."""

    def __init__(self, blocks: Iterable[nn.Module]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, tokens: Tokens) -> Tokens:
        for block in self.blocks:
            tokens = block(tokens)
        return tokens
