"""Attention along time, then along the two axes of the frame, one axis after the other.

Three attentions with a norm each; a linear layer that starts at zero follows the first two. The class token takes no
part in time attention; in each of the other two it joins every line of patches, and its updates are averaged.
Source: TimeSformer (arXiv 2102.05095), "axial" (T + W + H). No code was released, and the paper leaves the class token
open: ours is that of its divided attention. We differ: its copies are projected once, not once for each line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

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
    attention_step,
    count,
    image_names,
    mlp_step,
    plain,
    then,
)


class AxialConfig(VariantConfig):
    """Knobs of axial attention."""

    order: Literal["time_width_height", "time_height_width"] = "time_width_height"
    axis_fc: Literal["zero_init", "random_init", "none"] = Field(
        "zero_init", description="a linear layer after the first two attentions; at zero neither of them acts at step 0"
    )


class Axial(Variant):
    """Attention along one axis at a time, one class token per clip."""

    Config = AxialConfig
    config: AxialConfig
    class_token = "clip"
    default_readout = "class_token"
    encoder_type = TokensEncoder
    cannot_carry: ClassVar = {
        "summary": "time attention reads every frame already",
        "registers": "no step, each within a line of patches, has a row that all frames share",
    }

    @property
    def last_axis(self) -> str:
        """The axis of the frame that comes last, 'height' or 'width'."""
        return self.config.order.split("_")[-1]

    def build_block(self, layer: int) -> AxialBlock:
        return AxialBlock(self.trunk, layer, self.last_axis, self.config.axis_fc)

    def image_weights(self) -> dict[str, str]:
        pairs = {"temporal_norm1": "norm1", "temporal_attn": "attn", "axis_norm1": "norm1", "axis_attn": "attn"}
        return image_names(self.trunk, **pairs)

    def block_macs(self, layer: int) -> int:
        trunk, fc = self.trunk, self.config.axis_fc
        patches = trunk.num_frames * trunk.num_patches
        axis, last = (patches // size * (1 + size) ** 2 for size in (trunk.height, trunk.width))
        time = count.step_macs(trunk, patches, patches * trunk.num_frames, fc)
        lines = count.step_macs(trunk, patches + 1, axis, fc) + count.step_macs(trunk, patches + 1, last)
        return time + lines + count.mlp_macs(trunk, patches + 1)

    def _axis_line(self, layout: Layout, axis: str) -> Tensor:
        """Which line along an axis of the frame each token lies in (n,); -1 for the class token."""
        across = layout.row if axis == "width" else layout.column
        line = layout.frame * (layout.height + layout.width) + across
        return torch.where(layout.is_patch, line, torch.full_like(line, -1))

    def _axes(self) -> tuple[str, str]:
        return ("width", "height") if self.last_axis == "height" else ("height", "width")

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        total = layout.same_place() | layout.itself()
        for axis in self._axes():
            line = self._axis_line(layout, axis)
            total = then(total, layout.with_global(line[:, None] == line[None], ~layout.is_patch))
        return total

    def reference_block(self, block: AxialBlock, x: Tensor, layout: Layout, layer: int) -> Tensor:
        y = plain.attention_step(block, x, layout.same_place(), "temporal_")
        x = x + torch.where(layout.is_patch[:, None], y, 0)
        first, last = (self._axis_line(layout, axis) for axis in self._axes())
        y = plain.attention_in_groups(block.axis_attn, plain.norm(block.axis_norm1, x), first)
        x = x + plain.linear(block.axis_fc, y)
        x = x + plain.attention_in_groups(block.attn, plain.norm(block.norm1, x), last)
        return plain.mlp_step(block, x)

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        if self.config.axis_fc == "zero_init":  # then only the last axis acts, and here that is the whole frame
            thin = "width" if self.last_axis == "height" else "height"
            yield DegenerateCase("frames one patch wide, zero init", equals="divided", model={thin: 1}, at_init=True)
            one = {"num_frames": 1, thin: 1}
            yield DegenerateCase("one frame, one patch wide, zero init", equals="spatial_only", model=one, at_init=True)


class AxialBlock(nn.Module):
    """One layer on `Tokens` with a class token per clip; the last axis has the names of an image ViT's attention."""

    def __init__(self, trunk: TrunkGeometry, layer: int, last_axis: str, axis_fc: str):
        super().__init__()
        self.height_last = last_axis == "height"
        self.temporal_norm1, self.temporal_attn, self.temporal_fc = attention_step(trunk, axis_fc)
        self.axis_norm1, self.axis_attn, self.axis_fc = attention_step(trunk, axis_fc)
        self.norm1, self.attn, _ = attention_step(trunk)
        self.norm2, self.mlp, self.drop_path = mlp_step(trunk, layer)

    def forward(self, tokens: Tokens) -> Tokens:
        cls, x = tokens.cls, tokens.patches  # (B, D), (B, T, H, W, D)
        over_time = self.temporal_attn(self.temporal_norm1(x.movedim(1, 3))).movedim(3, 1)
        x = x + self.drop_path(self.temporal_fc(over_time))
        first, last = (3, 2) if self.height_last else (2, 3)
        y = attend_lines(self.axis_attn, self.axis_norm1(cls), self.axis_norm1(x), first)
        cls, x = self._add(cls, x, *map(self.axis_fc, y))
        cls, x = self._add(cls, x, *attend_lines(self.attn, self.norm1(cls), self.norm1(x), last))
        cls, x = self._add(cls, x, *(self.mlp(self.norm2(z)) for z in (cls, x)))
        return Tokens(x, cls)

    def _add(self, cls: Tensor, x: Tensor, added_cls: Tensor, added: Tensor) -> tuple[Tensor, Tensor]:
        """Add a branch to the class token and to the patches, dropped for both of a clip together."""
        added_cls, added = self.drop_path.together(added_cls, added)
        return cls + added_cls, x + added


def attend_lines(attention: Attention, cls: Tensor, x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Attention within each line of x (B, T, H, W, D) along `axis`, the class token (B, D) a member of every line.

    Returns the update of the class token, averaged over the lines, and that of x.
    """
    lines = x.movedim(axis, 3)  # (B, T, lines, patches of a line, D)
    joined = []
    for of_class, of_lines in zip(attention.project(cls.unsqueeze(1)), attention.project(lines), strict=True):
        copies = of_class[:, None, None].expand(-1, *lines.shape[1:3], -1, -1, -1)
        joined.append(torch.cat([copies, of_lines], dim=-2))
    y = attend(*joined)
    mean = y[..., :1, :].mean((1, 2))  # before the output projection, which is linear
    return attention.merge(mean)[:, 0], attention.merge(y[..., 1:, :]).movedim(3, axis)
