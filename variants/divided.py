"""Time attention at each place, then space attention in each frame.

Source: TimeSformer (arXiv 2102.05095), "divided space-time" (class_mode `mean`: the class token takes no part in time
attention, is copied to every frame for space attention, and its updates are averaged; a linear layer with zero
weights follows time attention); Motionformer (arXiv 2106.05392), "divided" (class_mode `global`: the class token
sees all tokens in both steps and is seen by all; no linear layer).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from harness.api import (
    Attention,
    DegenerateCase,
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
    plain,
    then,
)


class DividedConfig(VariantConfig):
    """Knobs of divided space-time attention."""

    order: Literal["time_space", "space_time"] = "time_space"
    temporal_fc: Literal["zero_init", "random_init", "none"] = Field(
        "zero_init", description="a linear layer after time attention; starting at zero = no time attention at step 0"
    )
    class_mode: Literal["mean", "global"] = Field("mean", description="TimeSformer's or Motionformer's class token")


class Divided(Variant):
    """Divided space-time attention, one class token per clip."""

    Config = DividedConfig
    config: DividedConfig
    class_token = "clip"
    default_readout = "class_token"
    encoder_type = TokensEncoder
    cannot_carry = {
        "summary": "time attention reads every frame already",
        "registers": "neither step, within a place or within a frame, has a row that all frames share",
    }

    def build_block(self, layer: int) -> DividedBlock:
        return DividedBlock(self.trunk, layer, self.config)

    def initialise(self, encoder: nn.Module) -> None:
        for block in encoder.blocks:  # type: ignore[union-attr]
            if self.config.temporal_fc == "zero_init":
                nn.init.zeros_(block.temporal_fc.weight)
                nn.init.zeros_(block.temporal_fc.bias)

    def image_weights(self) -> dict[str, str]:
        if self.config.class_mode == "global":  # Motionformer leaves its time attention as initialised
            return {}
        layers, pairs = range(self.trunk.depth), (("temporal_norm1", "norm1"), ("temporal_attn", "attn"))
        return {f"blocks.{i}.{own}": f"blocks.{i}.{image}" for i in layers for own, image in pairs}

    def block_macs(self, layer: int) -> int:
        trunk, dim = self.trunk, self.trunk.embed_dim
        frames, places = trunk.num_frames, trunk.num_patches
        patches = frames * places
        if self.config.class_mode == "mean":
            in_time, in_space = patches, frames * (1 + places)
            pairs = patches * frames + frames * (1 + places) ** 2
        else:
            in_time = in_space = patches + 1
            pairs = patches * (frames + 1) + patches * (places + 1) + 2 * (patches + 1)
        dense = count.linear_macs(in_time + in_space, dim, 4 * dim)
        if self.config.temporal_fc != "none":
            dense += count.linear_macs(in_time, dim, dim)
        mlp = 2 * count.linear_macs(patches + 1, dim, trunk.mlp_dim)
        return dense + mlp + count.attention_macs(pairs, dim)

    def _steps(self, layout: Layout) -> list[tuple[str, Tensor]]:
        """(kind of step, who sees whom in it)."""
        patch = layout.is_patch
        time, space = layout.same_place(), layout.same_frame() & patch[:, None] & patch[None]
        if self.config.class_mode == "global":
            time, space = (seen | ~patch[:, None] | ~patch[None] for seen in (time, space))
        else:
            space = space | ~patch[:, None] | ~patch[None]
        steps = [("time", time), ("space", space)]
        return steps if self.config.order == "time_space" else steps[::-1]

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        (_, first), (_, second) = self._steps(layout)
        return then(first | layout.itself(), second | layout.itself())

    def reference_block(self, block: DividedBlock, x: Tensor, layout: Layout, layer: int) -> Tensor:
        for kind, seen in self._steps(layout):
            if kind == "time":
                y = plain.self_attention(block.temporal_attn, plain.norm(block.temporal_norm1, x), seen)
                y = y if self.config.temporal_fc == "none" else plain.linear(block.temporal_fc, y)
                x = x + (torch.where(layout.is_patch[:, None], y, 0) if self.config.class_mode == "mean" else y)
            elif self.config.class_mode == "global":
                x = x + plain.self_attention(block.attn, plain.norm(block.norm1, x), seen)
            else:
                x = x + self._reference_space(block, plain.norm(block.norm1, x), layout)
        return x + plain.mlp(block.mlp, plain.norm(block.norm2, x))

    def _reference_space(self, block: DividedBlock, y: Tensor, layout: Layout) -> Tensor:
        """Frame by frame with a copy of the class token (token 0), whose updates are averaged."""
        added, everyone = torch.zeros_like(y), torch.ones(1 + self.trunk.num_patches, 1 + self.trunk.num_patches) > 0
        for frame in range(layout.num_frames):
            members = [0, *(layout.frame == frame).nonzero().flatten().tolist()]
            update = plain.self_attention(block.attn, y[:, members], everyone)
            added[:, members[1:]] = update[:, 1:]
            added[:, 0] = added[:, 0] + update[:, 0] / layout.num_frames
        return added

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        if self.config.class_mode == "mean" and self.config.temporal_fc == "zero_init":
            yield DegenerateCase("one frame, zero init", equals="spatial_only", model={"num_frames": 1}, at_init=True)
            constant: dict[str, Any] = {"constant_clip": True, "patches_only": True}
            yield DegenerateCase("constant clip, zero init", equals="spatial_only", at_init=True, **constant)


class DividedBlock(nn.Module):
    """One layer on `Tokens` with a class token per clip; parameter names as in the TimeSformer code."""

    def __init__(self, trunk: TrunkGeometry, layer: int, config: DividedConfig):
        super().__init__()
        dim, eps = trunk.embed_dim, trunk.norm_eps
        self.global_class = config.class_mode == "global"
        self.time_first = config.order == "time_space"
        self.temporal_norm1 = nn.LayerNorm(dim, eps=eps)
        self.temporal_attn = Attention(dim, trunk.num_heads, trunk.qkv_bias)
        self.temporal_fc: Any = nn.Identity() if config.temporal_fc == "none" else nn.Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, trunk.num_heads, trunk.qkv_bias)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, trunk.mlp_dim, trunk.gelu)
        self.drop_path = DropPath(trunk.layer_drop_path(layer))

    def forward(self, tokens: Tokens) -> Tokens:
        assert tokens.cls is not None
        cls, grid = tokens.cls, tokens.patches.shape[1:4]
        x = tokens.patches.flatten(2, 3)
        steps = (self._time, self._space) if self.time_first else (self._space, self._time)
        for step in steps:
            cls, x = step(cls, x)
        z = torch.cat([cls.unsqueeze(1), x.flatten(1, 2)], dim=1)
        z = z + self.drop_path(self.mlp(self.norm2(z)))
        return Tokens(z[:, 1:].unflatten(1, grid), z[:, 0])

    def _time(self, cls: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """cls (B, D), x (B, T, S, D): attention among the frames of each place."""
        if self.global_class:
            added_cls, added = global_class_attention(
                self.temporal_attn, self.temporal_norm1(cls), self.temporal_norm1(x.transpose(1, 2))
            )
            added_cls, added = self.temporal_fc(added_cls), self.temporal_fc(added)
            return cls + self.drop_path(added_cls), x + self.drop_path(added.transpose(1, 2))
        y = self.drop_path(self.temporal_attn(self.temporal_norm1(x.transpose(1, 2))))
        return cls, x + self.temporal_fc(y).transpose(1, 2)

    def _space(self, cls: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """cls (B, D), x (B, T, S, D): attention within each frame."""
        if self.global_class:
            added_cls, added = global_class_attention(self.attn, self.norm1(cls), self.norm1(x))
            return cls + self.drop_path(added_cls), x + self.drop_path(added)
        copies = cls[:, None, None].expand(-1, x.shape[1], 1, -1)
        y = self.drop_path(self.attn(self.norm1(torch.cat([copies, x], dim=2))))
        return cls + y[:, :, 0].mean(1), x + y[:, :, 1:]


def global_class_attention(attention: Attention, cls: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Attention within each group of x (B, groups, n, D), the class token (B, D) seen by all and seeing all."""
    groups = x.shape[1]
    q, k, v = attention.project(x)
    qc, kc, vc = attention.project(cls.unsqueeze(1))
    copies = (c.unsqueeze(1).expand(-1, groups, -1, -1, -1) for c in (kc, vc))
    keys, values = (torch.cat([copy, z], dim=-2) for copy, z in zip(copies, (k, v), strict=True))
    all_keys, all_values = (torch.cat([c, z.transpose(1, 2).flatten(2, 3)], dim=-2) for c, z in ((kc, k), (vc, v)))
    return attention.merge(attend(qc, all_keys, all_values))[:, 0], attention.merge(attend(q, keys, values))
