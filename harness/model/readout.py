"""Readouts: from the tokens of the last layer to one feature vector per clip, (B, D).

Each readout has the final norm of the trunk, since sources differ in whether it comes before or after the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.nn.blocks import Block
from harness.nn.count import block_macs, linear_macs
from harness.nn.geometry import TrunkGeometry
from harness.nn.tokens import Tokens
from harness.sweep.schema import (
    ClassTokenReadout,
    ConcatMlpReadout,
    GruReadout,
    MeanFramesReadout,
    MeanTokensReadout,
    ReadoutConfig,
    TemporalAttentionReadout,
)


class Readout(nn.Module):
    """Base of the readouts, with the final norm."""

    def __init__(self, trunk: TrunkGeometry):
        super().__init__()
        self.norm = nn.LayerNorm(trunk.embed_dim, eps=trunk.final_norm_eps or trunk.norm_eps)

    def frame_features(self, tokens: Tokens) -> Tensor:
        """Return one normed feature per frame (B, T, D): its class token, or else the mean of its patches."""
        if tokens.cls is not None and tokens.cls.ndim == 3:
            return self.norm(tokens.cls)
        return self.norm(tokens.patches.flatten(2, 3)).mean(2)

    def macs(self) -> int:
        """Return the multiply-accumulates of one clip."""
        return 0


class ClassToken(Readout):
    """Reads the normalised class token of the clip."""

    def forward(self, tokens: Tokens) -> Tensor:
        assert tokens.cls is not None
        return self.norm(tokens.cls)


class MeanFrames(Readout):
    """Averages over frames: the class token of each, or the mean of its patches."""

    def __init__(self, trunk: TrunkGeometry, norm_first: bool):
        super().__init__(trunk)
        self.norm_first = norm_first

    def forward(self, tokens: Tokens) -> Tensor:
        has_class = tokens.cls is not None and tokens.cls.ndim == 3
        x = tokens.cls if has_class else tokens.patches.flatten(1, 3)
        assert x is not None
        return self.norm(x).mean(1) if self.norm_first else self.norm(x.mean(1))


class MeanTokens(Readout):
    """Averages over all patches of the clip."""

    def __init__(self, trunk: TrunkGeometry, norm_first: bool):
        super().__init__(trunk)
        self.norm_first = norm_first

    def forward(self, tokens: Tokens) -> Tensor:
        x = tokens.patches.flatten(1, 3)
        return self.norm(x).mean(1) if self.norm_first else self.norm(x.mean(1))


class TemporalAttention(Readout):
    """Temporal attention (TA): a learned token reads frame features in standard layers (`TemporalAttentionReadout`)."""

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
        frames = self.frame_features(tokens)
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


class ConcatMlp(Readout):
    """Concatenates the frame features, then a linear layer and GELU: every frame has its own weights."""

    def __init__(self, trunk: TrunkGeometry):
        super().__init__(trunk)
        self.hidden = nn.Linear(trunk.num_frames * trunk.embed_dim, trunk.embed_dim)
        self.act = nn.GELU(approximate="tanh" if trunk.gelu == "tanh" else "none")

    def forward(self, tokens: Tokens) -> Tensor:
        return self.act(self.hidden(self.frame_features(tokens).flatten(1)))

    def macs(self) -> int:
        return self.hidden.weight.numel()


class Gru(Readout):
    """Reads the last state of a gated recurrent unit over the frame features, with a zero initial state.

    Rows of both weights: reset gate, update gate, new state, as in torch.nn.GRU. It is written with linear layers,
    since operator counters do not see inside the fused one.
    """

    def __init__(self, trunk: TrunkGeometry):
        super().__init__(trunk)
        self.num_frames = trunk.num_frames
        self.of_input = nn.Linear(trunk.embed_dim, 3 * trunk.embed_dim)
        self.of_state = nn.Linear(trunk.embed_dim, 3 * trunk.embed_dim)

    def forward(self, tokens: Tokens) -> Tensor:
        frames = self.of_input(self.frame_features(tokens))
        state = frames.new_zeros(frames.shape[0], frames.shape[2] // 3)
        for frame in range(self.num_frames):
            reset_in, update_in, new_in = frames[:, frame].chunk(3, dim=-1)
            reset_state, update_state, new_state = self.of_state(state).chunk(3, dim=-1)
            update = torch.sigmoid(update_in + update_state)
            new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_state) * new_state)
            state = update * state + (1 - update) * new
        return state

    def macs(self) -> int:
        return self.num_frames * (self.of_input.weight.numel() + self.of_state.weight.numel())


def build_readout(config: ReadoutConfig, trunk: TrunkGeometry) -> Readout:
    """Build the readout of a configuration."""
    match config:
        case ClassTokenReadout():
            return ClassToken(trunk)
        case MeanFramesReadout():
            return MeanFrames(trunk, config.norm == "before")
        case MeanTokensReadout():
            return MeanTokens(trunk, config.norm == "before")
        case TemporalAttentionReadout():
            return TemporalAttention(trunk, config)
        case ConcatMlpReadout():
            return ConcatMlp(trunk)
        case GruReadout():
            return Gru(trunk)
