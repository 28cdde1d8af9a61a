"""Every token attends to every token of the clip: full space-time attention.

Source: TimeSformer (arXiv 2102.05095), "joint space-time"; ViViT (arXiv 2103.15691) model 1; without a class token
VideoMAE (arXiv 2203.12602) and ViViT's averaged readout.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from harness.api import (
    Block,
    DegenerateCase,
    Field,
    Layout,
    SequenceEncoder,
    TrunkGeometry,
    Variant,
    VariantConfig,
    count,
    plain,
)


class JointConfig(VariantConfig):
    """Knobs of joint attention."""

    class_token: Literal["clip", "none"] = Field(
        "clip", description="none: patches only, then the readout is mean_tokens or another that needs no class token"
    )


class Joint(Variant):
    """Full space-time attention, one class token per clip or none."""

    Config = JointConfig
    config: JointConfig
    default_readout = "class_token"
    encoder_type = SequenceEncoder
    cannot_carry = {"summary": "every query sees all keys of all frames already"}

    def __init__(self, config: JointConfig, trunk: TrunkGeometry):
        super().__init__(config, trunk)
        self.class_token = config.class_token

    def build_block(self, layer: int) -> Block:
        return Block(self.trunk, layer)

    def block_macs(self, layer: int) -> int:
        num_tokens = self.layout().num_tokens
        return count.block_macs(self.trunk, num_tokens, num_tokens**2)

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        return layout.everyone()

    def reference_block(self, block: Block, x: Tensor, layout: Layout, layer: int) -> Tensor:
        x = x + plain.self_attention(block.attn, plain.norm(block.norm1, x), layout.everyone())
        return x + plain.mlp(block.mlp, plain.norm(block.norm2, x))

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        if self.config.class_token == "none":
            return
        yield DegenerateCase("one frame is an image", equals="spatial_only", model={"num_frames": 1})
