"""From the tokens of the last layer to one feature vector per clip, (B, D).

Each readout owns the final norm of the trunk, since sources differ in whether it comes before or after the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.nn.blocks import Block
from harness.nn.count import block_macs, linear_macs
from harness.nn.tokens import Tokens
from harness.nn.trunk import TrunkGeometry
from harness.sweep.schema import (
    ClassTokenReadout,
    MeanFramesReadout,
    MeanTokensReadout,
    ReadoutConfig,
    TemporalAttentionReadout,
)


class Readout(nn.Module):
    """Base: holds the final norm; `macs` are those of one clip."""

    def __init__(self, trunk: TrunkGeometry):
        super().__init__()
        self.norm = nn.LayerNorm(trunk.embed_dim, eps=trunk.norm_eps)

    def macs(self) -> int:
        """Multiply-accumulates of one clip."""
        return 0


class ClassToken(Readout):
    """The normalised class token of the clip."""

    def forward(self, tokens: Tokens) -> Tensor:
        assert tokens.cls is not None
        return self.norm(tokens.cls)


class MeanFrames(Readout):
    """Mean over frames of each frame's class token, or of the mean of its patches."""

    def __init__(self, trunk: TrunkGeometry, norm_first: bool):
        super().__init__(trunk)
        self.norm_first = norm_first

    def forward(self, tokens: Tokens) -> Tensor:
        has_class = tokens.cls is not None and tokens.cls.ndim == 3
        x = tokens.cls if has_class else tokens.patches.flatten(1, 3)
        assert x is not None
        return self.norm(x).mean(1) if self.norm_first else self.norm(x.mean(1))


class MeanTokens(Readout):
    """Mean over all patches of the clip."""

    def __init__(self, trunk: TrunkGeometry, norm_first: bool):
        super().__init__(trunk)
        self.norm_first = norm_first

    def forward(self, tokens: Tokens) -> Tensor:
        x = tokens.patches.flatten(1, 3)
        return self.norm(x).mean(1) if self.norm_first else self.norm(x.mean(1))


class TemporalAttention(Readout):
    """A learned token reads one feature per frame through standard layers (TA); see `TemporalAttentionReadout`."""

    def __init__(self, trunk: TrunkGeometry, config: TemporalAttentionReadout):
        super().__init__(trunk)
        dim = trunk.embed_dim
        self.layer_geometry = TrunkGeometry(
            embed_dim=dim,
            depth=config.num_layers,
            num_heads=config.num_heads or trunk.num_heads,
            mlp_ratio=trunk.mlp_ratio,
            num_frames=trunk.num_frames,
            height=1,
            width=1,
            qkv_bias="all" if config.qkv_bias else "none",
            norm_eps=config.norm_eps,
            gelu=trunk.gelu,
        )
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(torch.zeros(1, trunk.num_frames, dim)) if config.positions else None
        self.blocks = nn.ModuleList(Block(self.layer_geometry, layer) for layer in range(config.num_layers))
        self.token_norm = nn.LayerNorm(dim, eps=config.norm_eps)
        released = config.head == "released"
        self.hidden = nn.Sequential(nn.Linear(dim, dim), nn.GELU()) if released else nn.Identity()
        self.released = released

    def forward(self, tokens: Tokens) -> Tensor:
        has_class = tokens.cls is not None and tokens.cls.ndim == 3
        frames = self.norm(tokens.cls) if has_class else self.norm(tokens.patches.flatten(2, 3)).mean(2)
        if self.positions is not None:
            frames = frames + self.positions
        x = torch.cat([self.token.expand(frames.shape[0], -1, -1), frames], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.hidden(self.token_norm(x[:, 0]))

    def macs(self) -> int:
        num_tokens = 1 + self.layer_geometry.num_frames
        layers = len(self.blocks) * block_macs(self.layer_geometry, num_tokens, num_tokens**2)
        dim = self.layer_geometry.embed_dim
        return layers + (linear_macs(1, dim, dim) if self.released else 0)


def build_readout(config: ReadoutConfig, trunk: TrunkGeometry) -> Readout:
    """The readout that a configuration names."""
    match config:
        case ClassTokenReadout():
            return ClassToken(trunk)
        case MeanFramesReadout():
            return MeanFrames(trunk, config.norm == "before")
        case MeanTokensReadout():
            return MeanTokens(trunk, config.norm == "before")
        case TemporalAttentionReadout():
            return TemporalAttention(trunk, config)
