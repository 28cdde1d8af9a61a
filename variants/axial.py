"""Attention along time, then along the two axes of the frame, one axis after the other.

Three attentions with a norm each; a linear layer that starts at zero follows the first two. The class token takes no
part in time attention; in each of the other two it joins every line of patches, and its updates are averaged.
Source: TimeSformer (arXiv 2102.05095), "axial" (T + W + H). No code was released, and the paper leaves the class token
open: ours is that of its divided attention. We differ: its copies are projected once, not once for each line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    count,
    plain,
    steps,
)


class AxialConfig(VariantConfig):
    """Knobs of axial attention."""

    order: Literal["time_width_height", "time_height_width"] = "time_width_height"
    axis_fc: Literal["zero_init", "random_init", "none"] = Field(
        "zero_init", description="a linear layer after the first two attentions; at zero neither of them acts at step 0"
    )


class Axial(Variant[AxialConfig]):
    """Attention along one axis at a time, one class token per clip."""

    class_token = "clip"
    encoder_type = TokensEncoder
    cannot_carry: ClassVar = {
        "summary": "time attention reads every frame already",
        "registers": "no step, each within a line of patches, has keys that all frames share",
    }

    @property
    def axes(self) -> list[str]:
        """Return the two axes of the frame in their order."""
        return self.config.order.split("_")[1:]

    def build_block(self, layer: int) -> AxialBlock:
        return AxialBlock(self.trunk, layer, self.axes, self.config.axis_fc)

    def image_weights(self) -> dict[str, str]:
        pairs = {"temporal_norm1": "norm1", "temporal_attn": "attn", "axis_norm1": "norm1", "axis_attn": "attn"}
        return steps.image_names(self.trunk, **pairs)

    def block_macs(self, layer: int) -> int:
        trunk, fc = self.trunk, self.config.axis_fc
        patches = trunk.num_frames * trunk.num_patches
        axis, last = (patches // size * (1 + size) ** 2 for size in (trunk.height, trunk.width))
        time = count.step_macs(trunk, patches, patches * trunk.num_frames, fc)
        lines = count.step_macs(trunk, patches + 1, axis, fc) + count.step_macs(trunk, patches + 1, last)
        return time + lines + count.mlp_macs(trunk, patches + 1)

    def _lines(self, layout: Layout) -> list[Tensor]:
        """Return, for each axis in its turn, the line along it that each token lies in (n,); -1: the class token."""
        place_across = {"width": layout.row, "height": layout.column}
        first = layout.frame * (layout.height + layout.width)
        return [torch.where(layout.is_patch, first + place_across[axis], -1) for axis in self.axes]

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        masks = (layout.with_global(line[:, None] == line[None], ~layout.is_patch) for line in self._lines(layout))
        return layout.through(layout.same_place(), *masks)

    def reference_block(self, block: AxialBlock, x: Tensor, layout: Layout, layer: int) -> Tensor:
        y = plain.attention_step(block, x, layout.same_place(), "temporal_")
        x = x + torch.where(layout.is_patch[:, None], y, 0)
        first, last = self._lines(layout)
        y = plain.attention_in_groups(block.axis_attn, plain.norm(block.axis_norm1, x), first)
        x = x + plain.linear(block.axis_fc, y)
        x = x + plain.attention_in_groups(block.attn, plain.norm(block.norm1, x), last)
        return plain.mlp_step(block, x)

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        if self.config.axis_fc == "zero_init":  # then only the last axis acts, and here that is the whole frame
            thin = self.axes[0]
            yield DegenerateCase("frames one patch wide, zero init", equals="divided", model={thin: 1}, at_init=True)
            one = {"num_frames": 1, thin: 1}
            yield DegenerateCase("one frame, one patch wide, zero init", equals="spatial_only", model=one, at_init=True)


class AxialBlock(nn.Module):
    """One layer on `Tokens` with a class token per clip; the last axis has the names of an image ViT's attention."""

    def __init__(self, trunk: TrunkGeometry, layer: int, axes: list[str], axis_fc: str):
        super().__init__()
        self.axes = [{"height": 2, "width": 3}[axis] for axis in axes]
        self.temporal_norm1, self.temporal_attn, self.temporal_fc = steps.attention(trunk, axis_fc)
        self.axis_norm1, self.axis_attn, self.axis_fc = steps.attention(trunk, axis_fc)
        self.norm1, self.attn, _ = steps.attention(trunk)
        self.norm2, self.mlp, self.drop_path = steps.mlp(trunk, layer)

    def forward(self, tokens: Tokens) -> Tokens:
        cls, x = tokens.cls, tokens.patches  # (B, D), (B, T, H, W, D)
        over_time = self.temporal_attn(self.temporal_norm1(x.movedim(1, 3))).movedim(3, 1)
        parts = [cls, x + self.drop_path(self.temporal_fc(over_time))]
        along_axis = attend_lines(self.axis_attn, [self.axis_norm1(z) for z in parts], self.axes[0])
        parts = self._add(parts, map(self.axis_fc, along_axis))
        parts = self._add(parts, attend_lines(self.attn, [self.norm1(z) for z in parts], self.axes[1]))
        cls, x = self._add(parts, [self.mlp(self.norm2(z)) for z in parts])
        return Tokens(x, cls)

    def _add(self, parts: list[Tensor], added: Iterable[Tensor]) -> list[Tensor]:
        """Add a branch to class token and patches, dropped for both of a clip together."""
        return [z + branch for z, branch in zip(parts, self.drop_path.together(*added), strict=True)]


def attend_lines(attention: Attention, parts: list[Tensor], axis: int) -> list[Tensor]:
    """Attend within each line along `axis` of x (B, T, H, W, D), the class token (B, D) a member of every line.

    Maps [class token, x] to their updates; that of the class token is averaged over the lines.
    """
    lines = parts[1].movedim(axis, 3)  # (B, T, lines, patches of a line, D)
    joined = []
    for of_class, of_lines in zip(attention.project(parts[0].unsqueeze(1)), attention.project(lines), strict=True):
        copies = of_class[:, None, None].expand(-1, *lines.shape[1:3], -1, -1, -1)
        joined.append(torch.cat([copies, of_lines], dim=-2))
    y = attend(*joined)
    mean = y[..., :1, :].mean((1, 2))  # before the output projection, which is linear
    return [attention.merge(mean)[:, 0], attention.merge(y[..., 1:, :]).movedim(3, axis)]
