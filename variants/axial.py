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

_IMAGE_PARTS = (("norm1", "norm1"), ("attn", "attn"))


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

    def initialise(self, encoder: nn.Module) -> None:
        if self.config.axis_fc == "zero_init":
            for block in encoder.blocks:  # type: ignore[union-attr]
                for fc in (block.temporal_fc, block.axis_fc):
                    nn.init.zeros_(fc.weight)
                    nn.init.zeros_(fc.bias)

    def image_weights(self) -> dict[str, str]:
        pairs = [(f"{axis}_{own}", image) for axis in ("temporal", "axis") for own, image in _IMAGE_PARTS]
        layers = range(self.trunk.depth)
        return {f"blocks.{i}.{own}": f"blocks.{i}.{image}" for i in layers for own, image in pairs}

    def block_macs(self, layer: int) -> int:
        trunk, dim = self.trunk, self.trunk.embed_dim
        patches = trunk.num_frames * trunk.num_patches
        pairs = patches * trunk.num_frames
        for size in (trunk.height, trunk.width):
            pairs += patches // size * (1 + size) ** 2
        dense = count.linear_macs(patches + 2 * (patches + 1), dim, 4 * dim)
        if self.config.axis_fc != "none":
            dense += count.linear_macs(patches + patches + 1, dim, dim)
        mlp = 2 * count.linear_macs(patches + 1, dim, trunk.mlp_dim)
        return dense + mlp + count.attention_macs(pairs, dim)

    def _axis_line(self, layout: Layout, axis: str) -> Tensor:
        """Which line along an axis of the frame each token lies in (n,); -1 for the class token."""
        across = layout.row if axis == "width" else layout.column
        line = layout.frame * (layout.height + layout.width) + across
        return torch.where(layout.is_patch, line, torch.full_like(line, -1))

    def _axes(self) -> tuple[str, str]:
        return ("width", "height") if self.last_axis == "height" else ("height", "width")

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        total, of_class = layout.same_place() | layout.itself(), ~layout.is_patch
        for axis in self._axes():
            line = self._axis_line(layout, axis)
            total = then(total, (line[:, None] == line[None]) | of_class[:, None] | of_class[None])
        return total

    def reference_block(self, block: AxialBlock, x: Tensor, layout: Layout, layer: int) -> Tensor:
        y = plain.self_attention(block.temporal_attn, plain.norm(block.temporal_norm1, x), layout.same_place())
        x = x + torch.where(layout.is_patch[:, None], self._reference_fc(block.temporal_fc, y), 0)
        first, last = self._axes()
        y = self._reference_axis(block.axis_attn, plain.norm(block.axis_norm1, x), layout, first)
        x = x + self._reference_fc(block.axis_fc, y)
        x = x + self._reference_axis(block.attn, plain.norm(block.norm1, x), layout, last)
        return x + plain.mlp(block.mlp, plain.norm(block.norm2, x))

    def _reference_fc(self, fc: nn.Module, y: Tensor) -> Tensor:
        return plain.linear(fc, y) if isinstance(fc, nn.Linear) else y

    def _reference_axis(self, attention: Attention, y: Tensor, layout: Layout, axis: str) -> Tensor:
        """Line by line with a copy of the class token (token 0), whose updates are averaged."""
        line, added = self._axis_line(layout, axis), torch.zeros_like(y)
        lines = sorted(set(line[layout.is_patch].tolist()))
        for number in lines:
            members = [0, *(line == number).nonzero().flatten().tolist()]
            update = plain.self_attention(attention, y[:, members], torch.ones(len(members), len(members)) > 0)
            added[:, members[1:]] = update[:, 1:]
            added[:, 0] = added[:, 0] + update[:, 0] / len(lines)
        return added

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
        dim, eps = trunk.embed_dim, trunk.norm_eps
        self.height_last = last_axis == "height"
        self.temporal_norm1 = nn.LayerNorm(dim, eps=eps)
        self.temporal_attn = Attention(dim, trunk.num_heads, trunk.qkv_bias)
        self.temporal_fc = nn.Identity() if axis_fc == "none" else nn.Linear(dim, dim)
        self.axis_norm1 = nn.LayerNorm(dim, eps=eps)
        self.axis_attn = Attention(dim, trunk.num_heads, trunk.qkv_bias)
        self.axis_fc = nn.Identity() if axis_fc == "none" else nn.Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, trunk.num_heads, trunk.qkv_bias)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, trunk.mlp_dim, trunk.gelu)
        self.drop_path = DropPath(trunk.layer_drop_path(layer))

    def forward(self, tokens: Tokens) -> Tokens:
        cls, x = tokens.cls, tokens.patches  # (B, D), (B, T, H, W, D)
        over_time = self.temporal_attn(self.temporal_norm1(x.movedim(1, 3))).movedim(3, 1)
        x = x + self.drop_path(self.temporal_fc(over_time))
        first, last = (3, 2) if self.height_last else (2, 3)
        added_cls, added = attend_lines(self.axis_attn, self.axis_norm1(cls), self.axis_norm1(x), first)
        cls, x = cls + self.drop_path(self.axis_fc(added_cls)), x + self.drop_path(self.axis_fc(added))
        added_cls, added = attend_lines(self.attn, self.norm1(cls), self.norm1(x), last)
        cls, x = cls + self.drop_path(added_cls), x + self.drop_path(added)
        cls = cls + self.drop_path(self.mlp(self.norm2(cls)))
        return Tokens(x + self.drop_path(self.mlp(self.norm2(x))), cls)


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
