"""Every token attends to every token of the clip: full space-time attention.

Source: TimeSformer (arXiv 2102.05095), "joint space-time"; ViViT (arXiv 2103.15691) model 1; without a class token
VideoMAE (arXiv 2203.12602) and ViViT's averaged readout.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from harness.api import (
    Block,
    DegenerateCase,
    Field,
    Layout,
    MaskedVariant,
    SequenceEncoder,
    TrunkGeometry,
    VariantConfig,
)


class JointConfig(VariantConfig):
    """Knobs of joint attention."""

    class_token: Literal["clip", "none"] = Field(
        "clip", description="none: patches only, then the readout is mean_tokens or another that needs no class token"
    )


class Joint(MaskedVariant[JointConfig]):
    """Full space-time attention, one class token per clip or none."""

    default_readout = "class_token"
    encoder_type = SequenceEncoder
    cannot_carry = {"summary": "every query sees all keys of all frames already"}

    def __init__(self, config: JointConfig, trunk: TrunkGeometry):
        super().__init__(config, trunk)
        self.class_token = config.class_token

    def build_block(self, layer: int) -> Block:
        return Block(self.trunk, layer)

    def allowed(self, layout: Layout, layer: int) -> Tensor:
        return layout.all_pairs()

    def visible_keys(self, layout: Layout, layer: int) -> Tensor:
        return torch.full((layout.num_tokens,), layout.num_tokens)

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        if self.config.class_token == "clip":
            yield DegenerateCase("one frame is an image", equals="spatial_only", model={"num_frames": 1})
