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
    Field,
    Layout,
    Tokens,
    TokensEncoder,
    TrunkGeometry,
    Variant,
    VariantConfig,
    attend,
    count,
    plain,
    steps,
)


class DividedConfig(VariantConfig):
    """Knobs of divided space-time attention."""

    order: Literal["time_space", "space_time"] = "time_space"
    temporal_fc: Literal["zero_init", "random_init", "none"] = Field(
        "zero_init", description="a linear layer after time attention; starting at zero = no time attention at step 0"
    )
    class_mode: Literal["mean", "global"] = Field("mean", description="TimeSformer's or Motionformer's class token")


class Divided(Variant[DividedConfig]):
    """Divided space-time attention, one class token per clip."""

    class_token = "clip"
    encoder_type = TokensEncoder
    cannot_carry = {
        "summary": "time attention reads every frame already",
        "registers": "neither step, within a place or within a frame, has keys that all frames share",
    }

    def build_block(self, layer: int) -> DividedBlock:
        return DividedBlock(self.trunk, layer, self.config)

    def image_weights(self) -> dict[str, str]:
        if self.config.class_mode == "global":  # Motionformer leaves its time attention as initialised
            return {}
        return steps.image_names(self.trunk, temporal_norm1="norm1", temporal_attn="attn")

    def block_macs(self, layer: int) -> int:
        frames, places = self.trunk.num_frames, self.trunk.num_patches
        patches = frames * places
        if self.config.class_mode == "mean":
            in_time, in_space = patches, frames * (1 + places)
            time_pairs, space_pairs = patches * frames, frames * (1 + places) ** 2
        else:
            in_time = in_space = patches + 1
            time_pairs, space_pairs = patches * (frames + 1) + patches + 1, patches * (places + 1) + patches + 1
        time = count.step_macs(self.trunk, in_time, time_pairs, self.config.temporal_fc)
        return time + count.step_macs(self.trunk, in_space, space_pairs) + count.mlp_macs(self.trunk, patches + 1)

    def _steps(self, layout: Layout) -> list[tuple[str, Tensor]]:
        """Return (kind of step, who sees whom in it) in their order."""
        time, space = layout.same_place(), layout.with_global(layout.same_frame(), ~layout.is_patch)
        if self.config.class_mode == "global":
            time = layout.with_global(time, ~layout.is_patch)
        in_order = [("time", time), ("space", space)]
        return in_order if self.config.order == "time_space" else in_order[::-1]

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        return layout.through(*(seen for _, seen in self._steps(layout)))

    def reference_block(self, block: DividedBlock, x: Tensor, layout: Layout, layer: int) -> Tensor:
        for kind, seen in self._steps(layout):
            if kind == "time":
                y = plain.attention_step(block, x, seen, "temporal_")
                x = x + (torch.where(layout.is_patch[:, None], y, 0) if self.config.class_mode == "mean" else y)
            elif self.config.class_mode == "global":
                x = x + plain.attention_step(block, x, seen)
            else:
                x = x + plain.attention_in_groups(block.attn, plain.norm(block.norm1, x), layout.frame)
        return plain.mlp_step(block, x)

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        if self.config.class_mode == "mean" and self.config.temporal_fc == "zero_init":
            yield DegenerateCase("one frame, zero init", equals="spatial_only", model={"num_frames": 1}, at_init=True)
            constant: dict[str, Any] = {"constant_clip": True, "patches_only": True}
            yield DegenerateCase("constant clip, zero init", equals="spatial_only", at_init=True, **constant)


class DividedBlock(nn.Module):
    """One layer on `Tokens` with a class token per clip; parameter names as in the TimeSformer code."""

    def __init__(self, trunk: TrunkGeometry, layer: int, config: DividedConfig):
        super().__init__()
        self.global_class = config.class_mode == "global"
        self.time_first = config.order == "time_space"
        self.temporal_norm1, self.temporal_attn, self.temporal_fc = steps.attention(trunk, config.temporal_fc)
        self.norm1, self.attn, _ = steps.attention(trunk)
        self.norm2, self.mlp, self.drop_path = steps.mlp(trunk, layer)

    def forward(self, tokens: Tokens) -> Tokens:
        assert tokens.cls is not None
        cls, grid = tokens.cls, tokens.patches.shape[1:4]
        x = tokens.patches.flatten(2, 3)
        for step in (self._time, self._space) if self.time_first else (self._space, self._time):
            cls, x = step(cls, x)
        z = torch.cat([cls.unsqueeze(1), x.flatten(1, 2)], dim=1)
        z = z + self.drop_path(self.mlp(self.norm2(z)))
        return Tokens(z[:, 1:].unflatten(1, grid), z[:, 0])

    def _time(self, cls: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Attend among the frames of each place: cls (B, D), x (B, T, S, D)."""
        if self.global_class:
            y = global_class_attention(self.temporal_attn, self.temporal_norm1, cls, x.transpose(1, 2))
            added_cls, added = self.drop_path.together(*map(self.temporal_fc, y))
            return cls + added_cls, x + added.transpose(1, 2)
        y = self.drop_path(self.temporal_attn(self.temporal_norm1(x.transpose(1, 2))))
        return cls, x + self.temporal_fc(y).transpose(1, 2)

    def _space(self, cls: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Attend within each frame: cls (B, D), x (B, T, S, D)."""
        if self.global_class:
            added_cls, added = self.drop_path.together(*global_class_attention(self.attn, self.norm1, cls, x))
            return cls + added_cls, x + added
        copies = cls[:, None, None].expand(-1, x.shape[1], 1, -1)
        y = self.drop_path(self.attn(self.norm1(torch.cat([copies, x], dim=2))))
        return cls + y[:, :, 0].mean(1), x + y[:, :, 1:]


def global_class_attention(attention: Attention, norm: nn.Module, cls: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Attend within each group of x (B, groups, n, D), the class token (B, D) seen by all and seeing all."""
    q, k, v = attention.project(norm(x))
    qc, kc, vc = attention.project(norm(cls).unsqueeze(1))
    copies = (c.unsqueeze(1).expand(-1, x.shape[1], -1, -1, -1) for c in (kc, vc))
    keys, values = (torch.cat([copy, z], dim=-2) for copy, z in zip(copies, (k, v), strict=True))
    all_keys, all_values = (torch.cat([c, z.transpose(1, 2).flatten(2, 3)], dim=-2) for c, z in ((kc, k), (vc, v)))
    return attention.merge(attend(qc, all_keys, all_values))[:, 0], attention.merge(attend(q, keys, values))
