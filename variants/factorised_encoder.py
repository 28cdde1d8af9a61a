"""A space encoder for each frame, then a time encoder over one feature per frame.

The trunk's layers attend within frames. The feature of a frame (its class token, or the mean of its patches) goes
through a norm of its own; a class token of the clip, temporal positions and `temporal_layers` standard layers follow.
The clip's class token comes out un-normed: the trunk's final norm is the time encoder's, so the readout is
`class_token`. The patches come out as the space layers leave them, so a readout of patches sees no time encoder.
Source: ViViT (arXiv 2103.15691), model 2. We differ: with `frame_feature: mean` the time encoder keeps its class token
(ViViT averages there too); with `temporal_layers: 0` the class token is the mean of the normed frame features and goes
through the trunk's norm once more, which ViViT's average of frames does not (that one is exactly `spatial_only` with
readout `mean_frames`); the dense layers start as the trunk's. ViViT has no temporal positions but those of the time
encoder: `model.temporal_position: none`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from harness.api import (
    Block,
    ClassToken,
    DegenerateCase,
    Field,
    FrameAttention,
    FrameBlock,
    FrameEncoder,
    Layout,
    Tokens,
    TrunkGeometry,
    Variant,
    VariantConfig,
    count,
    from_sequence,
    plain,
    to_sequence,
)


class FactorisedEncoderConfig(VariantConfig):
    """Knobs of the factorised encoder."""

    temporal_layers: Annotated[int, Field(ge=0, le=100)] = Field(4, description="layers over time; 0 = mean of frames")
    temporal_heads: Annotated[int, Field(ge=1)] | None = Field(None, description="default: model.num_heads")
    temporal_mlp_ratio: Annotated[float, Field(gt=0, le=64)] | None = Field(None, description="default: the model's")
    frame_feature: Literal["class_token", "mean"] = Field(
        "class_token", description="what stands for a frame; with mean the frames have no class token"
    )


class FactorisedEncoder(Variant):
    """Space layers, then time layers; class token per frame in, class token of the clip out."""

    Config = FactorisedEncoderConfig
    config: FactorisedEncoderConfig
    default_readout = "class_token"
    cannot_carry: ClassVar = {}
    cannot_read: ClassVar = dict.fromkeys(
        ("mean_frames", "mean_tokens", "temporal_attention", "concat_mlp", "gru"),
        "it reads what the space layers give, and the time encoder speaks through the class token of the clip",
    )

    def __init__(self, config: FactorisedEncoderConfig, trunk: TrunkGeometry):
        super().__init__(config, trunk)
        self.class_token = "frame" if config.frame_feature == "class_token" else "none"

    @property
    def class_token_out(self) -> ClassToken:
        return "clip"

    @property
    def temporal(self) -> TrunkGeometry:
        """Geometry of the time encoder: one token per frame."""
        config, trunk = self.config, self.trunk
        return replace(
            trunk,
            depth=config.temporal_layers,
            num_heads=config.temporal_heads or trunk.num_heads,
            mlp_ratio=config.temporal_mlp_ratio or trunk.mlp_ratio,
            height=1,
            width=1,
        )

    def validate(self) -> Iterator[tuple[str, str]]:
        yield from super().validate()
        heads, dim = self.config.temporal_heads, self.trunk.embed_dim
        if heads and dim % heads:
            divisors = ", ".join(str(number) for number in range(1, dim + 1) if dim % number == 0)
            yield "temporal_heads", f"{heads} heads do not divide embed_dim {dim}; numbers that do: {divisors}"

    def build_encoder(self) -> SpaceThenTime:
        space = (FrameBlock(self.trunk, i, FrameAttention(self.trunk, i)) for i in range(self.trunk.depth))
        return SpaceThenTime(space, self.temporal)

    def initialise(self, encoder: nn.Module) -> None:
        if self.config.temporal_layers:
            nn.init.normal_(encoder.temporal_positions, std=0.02)  # type: ignore[arg-type]
            nn.init.zeros_(encoder.temporal_token)  # type: ignore[arg-type]

    def macs(self) -> int:
        per_frame = self.layout().num_class // self.trunk.num_frames + self.trunk.num_patches
        space = sum(count.frame_block_macs(self.trunk, i, per_frame) for i in range(self.trunk.depth))
        row = 1 + self.trunk.num_frames
        return space + self.config.temporal_layers * count.block_macs(self.temporal, row, row**2)

    def influence(self, layout: Layout) -> Tensor:
        space = layout.itself()
        for layer in range(self.trunk.depth):
            seen = layout.with_registers(layout.same_frame())
            seen = layout.with_summaries(seen) if self.trunk.summaries(layer) else seen
            space = (seen.double() @ space.double()) > 0
        of_class = torch.arange(layout.num_tokens) < layout.num_class
        feature = of_class if layout.num_class else layout.is_patch
        return torch.cat([space[feature].any(0, keepdim=True), space[~of_class]])

    def reference(self, encoder: Any, tokens: Tokens) -> Tokens:
        layout, x = self.layout(), to_sequence(tokens)
        for block in encoder.blocks:
            x = x + plain.frame_attention(block.attn, plain.norm(block.norm1, x), layout)
            x = x + plain.mlp(block.mlp, plain.norm(block.norm2, x))
        y = plain.norm(encoder.norm, x)
        chosen = layout.is_patch if self.config.frame_feature == "mean" else layout.slot == -2
        frames = torch.stack([y[:, chosen & (layout.frame == t)].mean(1) for t in range(layout.num_frames)], dim=1)
        return from_sequence(x, tokens)._replace(cls=self._reference_time(encoder, frames))

    def _reference_time(self, encoder: Any, frames: Tensor) -> Tensor:
        """Frame features (B, T, D) -> class token of the clip (B, D)."""
        if not self.config.temporal_layers:
            return frames.sum(1) / frames.shape[1]
        token, positions = encoder.temporal_token, encoder.temporal_positions
        z = torch.cat([token.repeat(len(frames), 1, 1), frames], dim=1) + positions
        everyone = torch.ones(z.shape[1], z.shape[1], dtype=torch.bool)
        for block in encoder.temporal_blocks:
            z = z + plain.self_attention(block.attn, plain.norm(block.norm1, z), everyone)
            z = z + plain.mlp(block.mlp, plain.norm(block.norm2, z))
        return z[:, 0]

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        # the class tokens cannot be compared: ours has gone through the norm of the space encoder
        yield DegenerateCase("patches are those of space alone", equals="spatial_only", patches_only=True)


class SpaceThenTime(FrameEncoder):
    """`blocks` within frames, `norm`, then `temporal_blocks` over [class token of the clip; one feature per frame]."""

    def __init__(self, space: Iterator[nn.Module], temporal: TrunkGeometry):
        super().__init__(space)
        self.norm = nn.LayerNorm(temporal.embed_dim, eps=temporal.norm_eps)
        self.temporal_blocks = nn.ModuleList(Block(temporal, layer) for layer in range(temporal.depth))
        if temporal.depth:
            self.temporal_token = nn.Parameter(torch.zeros(1, 1, temporal.embed_dim))
            self.temporal_positions = nn.Parameter(torch.zeros(1, 1 + temporal.num_frames, temporal.embed_dim))

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = super().forward(tokens)
        features = self.norm(tokens.patches.flatten(2, 3) if tokens.cls is None else tokens.cls.unsqueeze(2))
        return tokens._replace(cls=self._over_time(features.mean(2)))

    def _over_time(self, frames: Tensor) -> Tensor:
        """Normed frame features (B, T, D) -> class token of the clip (B, D)."""
        if not len(self.temporal_blocks):
            return frames.mean(1)
        z = torch.cat([self.temporal_token.expand(len(frames), -1, -1), frames], dim=1) + self.temporal_positions
        for block in self.temporal_blocks:
            z = block(z)
        return z[:, 0]
