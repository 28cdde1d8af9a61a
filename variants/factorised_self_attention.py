"""Time attention at each place and space attention in each frame, a residual around each, no class token.

Unlike `divided` there is no linear layer after time attention and no class token; each attention has its own norm.
Source: ViViT (arXiv 2103.15691), model 3 (`order` time_space is the default of its code, space_time the paper's
figure; `temporal_init` zero is its regularised initialisation: the time attention adds nothing at step 0). We differ:
the other dense layers start as the trunk's. ViViT has one position per tubelet: `model.joint_position: learned`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from torch import Tensor, nn

from harness.api import (
    DegenerateCase,
    Field,
    FrameTokens,
    Layout,
    TrunkGeometry,
    Variant,
    VariantConfig,
    count,
    plain,
    steps,
)


class FactorisedSelfAttentionConfig(VariantConfig):
    """Knobs of factorised self-attention."""

    order: Literal["time_space", "space_time"] = "time_space"
    temporal_init: Literal["zero", "random"] = Field(
        "zero", description="zero: time attention has zero qkv weights and adds nothing at step 0"
    )


class FactorisedSelfAttention(Variant[FactorisedSelfAttentionConfig]):
    """Time and space attention after each other, no class token."""

    class_token = "none"
    cannot_carry: ClassVar = {
        "summary": "time attention reads every frame already",
        "registers": "neither step, within a place or within a frame, has keys that all frames share",
    }

    def build_block(self, layer: int) -> FactorisedBlock:
        return FactorisedBlock(self.trunk, layer, self.config.order)

    def initialise(self, encoder: nn.Module) -> None:
        if self.config.temporal_init == "random":
            return
        for block in encoder.blocks:  # type: ignore[union-attr]
            attention = block.temporal_attn
            biases = (attention.qkv.bias, attention.q_bias, attention.v_bias, attention.proj.bias)
            for parameter in (attention.qkv.weight, *biases):
                if parameter is not None:
                    nn.init.zeros_(parameter)

    def image_weights(self) -> dict[str, str]:
        if self.config.temporal_init == "zero":  # the regularised start: time attention stays at zero
            return {}
        return steps.image_names(self.trunk, temporal_attn="attn")

    def block_macs(self, layer: int) -> int:
        frames, places = self.trunk.num_frames, self.trunk.num_patches
        in_time = count.step_macs(self.trunk, frames * places, frames * places * frames)
        return in_time + count.block_macs(self.trunk, frames * places, frames * places * places)

    def _steps(self, layout: Layout) -> list[tuple[str, Tensor]]:
        """Return (prefix of the step's parts in a block, who sees whom in it) in their order."""
        in_order = [("temporal_", layout.same_place()), ("", layout.same_frame())]
        return in_order if self.config.order == "time_space" else in_order[::-1]

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        return layout.through(*(seen for _, seen in self._steps(layout)))

    def reference_block(self, block: FactorisedBlock, x: Tensor, layout: Layout, layer: int) -> Tensor:
        for prefix, seen in self._steps(layout):
            x = x + plain.attention_step(block, x, seen, prefix)
        return plain.mlp_step(block, x)

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        if self.config.temporal_init == "zero":
            yield DegenerateCase("zero init", equals="spatial_only", at_init=True)


class FactorisedBlock(nn.Module):
    """One layer on `FrameTokens` without class token; parameter names as in `divided`."""

    def __init__(self, trunk: TrunkGeometry, layer: int, order: str):
        super().__init__()
        self.time_first = order == "time_space"
        self.temporal_norm1, self.temporal_attn, _ = steps.attention(trunk)
        self.norm1, self.attn, _ = steps.attention(trunk)
        self.norm2, self.mlp, self.drop_path = steps.mlp(trunk, layer)

    def forward(self, frames: FrameTokens) -> FrameTokens:
        x = frames.x  # (B, T, S, D)
        for step in (self._time, self._space) if self.time_first else (self._space, self._time):
            x = x + self.drop_path(step(x))
        return FrameTokens(x + self.drop_path(self.mlp(self.norm2(x))), None)

    def _time(self, x: Tensor) -> Tensor:
        return self.temporal_attn(self.temporal_norm1(x.transpose(1, 2))).transpose(1, 2)

    def _space(self, x: Tensor) -> Tensor:
        return self.attn(self.norm1(x))
