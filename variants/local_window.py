"""Full attention within a window of frames around each frame.

A query of frame t sees all tokens, class tokens too, of the frames t + j * dilation, |j| <= t_w, that exist: at the
ends of the clip the window is cut, not padded. Each length of window is one batched attention over copied keys, so
that no work is done for frames that do not exist.
Source: X-ViT (arXiv 2106.05968), section 3.2: full space-time attention within t_w frames to each side, which its
mixing approximates at the cost of one frame. Beyond it: dilation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from harness.api import (
    DegenerateCase,
    Field,
    FrameAttention,
    FrameBlock,
    FrameTokens,
    Layout,
    TrunkGeometry,
    Variant,
    VariantConfig,
    attend,
    count,
    plain,
)


class LocalWindowConfig(VariantConfig):
    """Knobs of the temporal window."""

    temporal_window: Annotated[int, Field(ge=0)] = Field(1, description="t_w, frames to each side")
    dilation: Annotated[int, Field(ge=1)] = Field(1, description="distance in frames between two frames of the window")


class LocalWindow(Variant):
    """Attention among the tokens of neighbouring frames, class token per frame."""

    Config = LocalWindowConfig
    config: LocalWindowConfig
    cannot_carry: ClassVar = {}

    def windows(self) -> list[slice]:
        """Frames that each frame sees."""
        return [
            _window(frame, self.trunk.num_frames, self.config.temporal_window, self.config.dilation)
            for frame in range(self.trunk.num_frames)
        ]

    def validate(self) -> Iterator[tuple[str, str]]:
        yield from super().validate()
        dilation, frames = self.config.dilation, self.trunk.num_frames
        if dilation > 1 and not self.config.temporal_window:
            yield "dilation", f"{dilation} given, but temporal_window is 0: there is nothing to space out; set it to 1"
        elif dilation > 1 and dilation >= frames:
            yield "dilation", f"{dilation} given: none of {frames} frames has a neighbour that far; 1 to {frames - 1}"

    def build_block(self, layer: int) -> FrameBlock:
        return FrameBlock(self.trunk, layer, WindowAttention(self.trunk, layer, self.windows()))

    def block_macs(self, layer: int) -> int:
        trunk, per_frame = self.trunk, 1 + self.trunk.num_patches
        registers = trunk.global_tokens.registers
        num_tokens = trunk.num_frames * per_frame + registers
        shared = trunk.num_frames * trunk.summaries(layer) + registers
        seen = sum(len(range(*window.indices(trunk.num_frames))) for window in self.windows())
        pairs = per_frame * (seen * per_frame + trunk.num_frames * shared) + registers * num_tokens
        return count.block_macs(trunk, num_tokens, pairs)

    def _seen(self, layout: Layout) -> Tensor:
        """Who sees whom among the tokens of frames, from the definition."""
        frames = torch.arange(layout.num_frames)
        steps = (frames[None] - frames[:, None]).abs()
        near = steps <= self.config.temporal_window * self.config.dilation
        return layout.by_frame(near & (steps % self.config.dilation == 0))

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        seen = layout.with_registers(self._seen(layout))
        return layout.with_summaries(seen) if self.trunk.summaries(layer) else seen

    def reference_block(self, block: FrameBlock, x: Tensor, layout: Layout, layer: int) -> Tensor:
        attention: WindowAttention = block.attn
        q, k, v = plain.project(attention, plain.norm(block.norm1, x))
        allowed = layout.with_registers(self._seen(layout))
        if number := self.trunk.summaries(layer):
            keys, values = (torch.cat([z, plain.summaries(z, layout, number)], dim=1) for z in (k, v))
            extra = (~layout.is_register)[:, None].expand(-1, layout.num_frames * number)
            y = plain.attend(q, keys, values, torch.cat([allowed, extra], dim=1), attention.num_heads)
        else:
            y = plain.attend(q, k, v, allowed, attention.num_heads)
        x = x + plain.linear(attention.proj, y)
        return x + plain.mlp(block.mlp, plain.norm(block.norm2, x))

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        # a window that holds the clip is not `joint`: T class tokens in the keys weigh more than one
        yield DegenerateCase("t_w = 0", equals="spatial_only", config={"temporal_window": 0, "dilation": 1})
        yield DegenerateCase("one frame", equals="spatial_only", model={"num_frames": 1})
        tokens = self.trunk.global_tokens
        if not tokens.summary and not tokens.registers:  # copies of a frame outweigh those, and nothing else
            yield DegenerateCase("constant clip", equals="spatial_only", constant_clip=True)


def _window(frame: int, num_frames: int, temporal_window: int, dilation: int) -> slice:
    """Frames that `frame` sees: up to t_w steps of `dilation` to each side, cut at the ends of the clip."""
    before = min(temporal_window, frame // dilation)
    after = min(temporal_window, (num_frames - 1 - frame) // dilation)
    return slice(frame - before * dilation, frame + after * dilation + 1, dilation)


class WindowAttention(FrameAttention):
    """Frame attention whose keys and values are those of a window of frames; summaries and registers as there."""

    def __init__(self, trunk: TrunkGeometry, layer: int, windows: list[slice]):
        super().__init__(trunk, layer)
        self.summary_mixed = False  # nothing is mixed here: summaries are always of the frames as they are
        self.windows = windows
        self.groups: dict[int, list[int]] = {}  # frames by the length of their window, each group one attention
        for frame, window in enumerate(windows):
            self.groups.setdefault(len(range(*window.indices(len(windows)))), []).append(frame)

    def forward(self, frames: FrameTokens) -> FrameTokens:  # type: ignore[override]
        q, k, v = self.project(frames.x)
        of_registers = None if frames.registers is None else self.project(frames.registers)
        outputs: dict[int, Tensor] = {}
        for group in self.groups.values():
            queries = torch.stack([q[:, frame] for frame in group], dim=1)
            keys, values = self._keys(k, group, of_registers, 1), self._keys(v, group, of_registers, 2)
            outputs.update(zip(group, attend(queries, keys, values).unbind(1), strict=True))
        x = self.merge(torch.stack([outputs[frame] for frame in range(len(self.windows))], dim=1))
        if of_registers is None:
            return FrameTokens(x, None)
        qr, kr, vr = of_registers
        everything = (torch.cat([a.transpose(1, 2).flatten(2, 3), b], dim=-2) for a, b in ((k, kr), (v, vr)))
        return FrameTokens(x, self.merge(attend(qr, *everything)))

    def _keys(self, x: Tensor, group: list[int], of_registers: tuple[Tensor, ...] | None, which: int) -> Tensor:
        """Keys or values (B, T, h, N, c) -> what the frames of a group see, (B, frames, h, n, c)."""
        # slices, not an index: the gradient of indexing adds in random order on a GPU
        seen = torch.stack([x[:, self.windows[frame]] for frame in group], dim=1)
        rows = seen.transpose(2, 3).flatten(3, 4)
        if self.num_summaries:
            rows = self._with_summaries(rows, x)
        if of_registers is None:
            return rows
        shared = of_registers[which].unsqueeze(1).expand(-1, len(group), -1, -1, -1)
        return torch.cat([rows, shared], dim=-2)
