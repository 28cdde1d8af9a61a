"""A space encoder for each frame, then a time encoder over one feature per frame.

The layers of the trunk attend within frames. The feature of a frame (its class token, or the mean of its patches) has
its own norm; temporal positions and `temporal_layers` standard layers follow, with a class token of the clip unless
`clip_feature` is mean. The final norm of the trunk is that of the time encoder; it reads the class token of the clip
(readout `class_token`) or one token per frame (`mean_frames`). The patches are the output of the space layers.
Source: ViViT (arXiv 2103.15691), model 2; with `frame_feature: mean` and `clip_feature: mean` its averaged form. We
differ: with `temporal_layers: 0` frame features have one more norm (ViViT's average of frames is `spatial_only` with
`mean_frames`); dense layers are initialised as in the trunk. ViViT: `model.temporal_position: none`.
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
    MaskedVariant,
    Tokens,
    TrunkGeometry,
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
        "class_token", description="what stands for a frame; mean: that of its patches, frames have no class token"
    )
    clip_feature: Literal["class_token", "mean"] = Field(
        "class_token", description="what stands for the clip; mean: that of the frames, use readout mean_frames"
    )


class FactorisedEncoder(MaskedVariant[FactorisedEncoderConfig]):
    """Space layers, then time layers; class token per frame in, class token of the clip out."""

    default_readout, encoder_type = "class_token", FrameEncoder
    cannot_carry: ClassVar = {}
    cannot_read: ClassVar = dict.fromkeys(
        ("mean_frames", "mean_tokens", "temporal_attention", "concat_mlp", "gru"),
        "it reads the output of the space layers; write class_token, or variant.clip_feature: mean and mean_frames",
    )

    def __init__(self, config: FactorisedEncoderConfig, trunk: TrunkGeometry):
        super().__init__(config, trunk)
        self.class_token = "frame" if config.frame_feature == "class_token" else "none"
        if config.clip_feature == "mean":
            self.cannot_read = {"mean_tokens": self.cannot_read["mean_tokens"]}  # type: ignore[misc]

    @property
    def class_token_out(self) -> ClassToken:
        return "clip" if self.config.clip_feature == "class_token" else "frame"

    @property
    def temporal(self) -> TrunkGeometry:
        """Geometry of the time encoder: one token per frame."""
        config, trunk = self.config, self.trunk
        heads, ratio = config.temporal_heads or trunk.num_heads, config.temporal_mlp_ratio or trunk.mlp_ratio
        return replace(trunk, depth=config.temporal_layers, num_heads=heads, mlp_ratio=ratio, height=1, width=1)

    def validate(self) -> Iterator[tuple[str, str]]:
        yield from super().validate()
        heads, ratio, dim = self.config.temporal_heads, self.config.temporal_mlp_ratio, self.trunk.embed_dim
        if heads and dim % heads:
            yield "temporal_heads", f"{heads} heads do not divide embed_dim {dim}; divisors: {count.divisors(dim)}"
        if ratio and not self.temporal.mlp_dim:
            yield "temporal_mlp_ratio", f"a hidden width of {ratio} x {dim} rounds to 0; at least {1 / dim:.3g} makes 1"

    def build_encoder(self) -> SpaceThenTime:
        space = (FrameBlock(self.trunk, i, FrameAttention(self.trunk, i)) for i in range(self.trunk.depth))
        return SpaceThenTime(space, self.temporal, self.class_token_out)

    def initialise(self, encoder: nn.Module) -> None:
        if self.config.temporal_layers:
            nn.init.normal_(encoder.temporal_positions, std=0.02)  # type: ignore[arg-type]
            if self.class_token_out == "clip":
                nn.init.zeros_(encoder.temporal_token)  # type: ignore[arg-type]

    def macs(self) -> int:
        row = self.trunk.num_frames + (self.class_token_out == "clip")
        return super().macs() + self.config.temporal_layers * count.block_macs(self.temporal, row, row**2)

    def allowed(self, layout: Layout, layer: int) -> Tensor:
        return layout.with_registers(layout.same_frame())

    def visible_keys(self, layout: Layout, layer: int) -> Tensor:
        return count.keys_in_frame(layout)

    def influence(self, layout: Layout) -> Tensor:
        space, of_class = super().influence(layout), torch.arange(layout.num_tokens) < layout.num_class
        feature = of_class if layout.num_class else layout.is_patch
        frames = torch.stack([space[feature & (layout.frame == t)].any(0) for t in range(layout.num_frames)])
        if self.class_token_out == "clip" or self.config.temporal_layers:
            frames = frames.any(0).expand_as(frames)
        return torch.cat([frames if self.class_token_out == "frame" else frames[:1], space[~of_class]])

    def reference(self, encoder: Any, tokens: Tokens) -> Tokens:
        layout, x = self.layout(), to_sequence(super().reference(encoder, tokens))
        y = plain.norm(encoder.norm, x)
        chosen = layout.is_patch if self.config.frame_feature == "mean" else layout.slot == -2
        z = torch.stack([y[:, chosen & (layout.frame == t)].mean(1) for t in range(layout.num_frames)], dim=1)
        if self.config.temporal_layers:
            z = self._reference_time(encoder, z)
        elif self.class_token_out == "clip":
            z = z.sum(1, keepdim=True) / z.shape[1]
        return from_sequence(x, tokens)._replace(cls=z[:, 0] if self.class_token_out == "clip" else z)

    def _reference_time(self, encoder: Any, z: Tensor) -> Tensor:
        """Oracle of the time encoder for frame features (B, T, D), preceded by a class token if there is one."""
        if self.class_token_out == "clip":
            z = torch.cat([encoder.temporal_token.repeat(len(z), 1, 1), z], dim=1)
        z, everyone = z + encoder.temporal_positions, torch.ones(z.shape[1], z.shape[1], dtype=torch.bool)
        for block in encoder.temporal_blocks:
            z = plain.mlp_step(block, z + plain.attention_step(block, z, everyone))
        return z

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        # the class tokens are not comparable: ours has the norm of the space encoder
        yield DegenerateCase("patches are those of space alone", equals="spatial_only", patches_only=True)


class SpaceThenTime(FrameEncoder):
    """`blocks` within frames, `norm`, then `temporal_blocks` over [class token of the clip or none; frame features]."""

    def __init__(self, space: Iterator[nn.Module], temporal: TrunkGeometry, class_token_out: ClassToken):
        super().__init__(space)
        self.has_token, dim = class_token_out == "clip", temporal.embed_dim
        self.norm = nn.LayerNorm(dim, eps=temporal.norm_eps)
        self.temporal_blocks = nn.ModuleList(Block(temporal, layer) for layer in range(temporal.depth))
        if temporal.depth:
            self.temporal_token = nn.Parameter(torch.zeros(1, 1, dim)) if self.has_token else None
            self.temporal_positions = nn.Parameter(torch.zeros(1, temporal.num_frames + self.has_token, dim))

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = super().forward(tokens)
        features = self.norm(tokens.patches.flatten(2, 3) if tokens.cls is None else tokens.cls.unsqueeze(2))
        return tokens._replace(cls=self._over_time(features.mean(2)))

    def _over_time(self, z: Tensor) -> Tensor:
        """Map normed frame features (B, T, D) to the class token of the clip (B, D), or of each frame (B, T, D)."""
        if not len(self.temporal_blocks):
            return z.mean(1) if self.has_token else z
        if self.temporal_token is not None:
            z = torch.cat([self.temporal_token.expand(z.shape[0], -1, -1), z], dim=1)
        z = z + self.temporal_positions
        for block in self.temporal_blocks:
            z = block(z)
        return z[:, 0] if self.has_token else z
