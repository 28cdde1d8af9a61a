"""Full attention within a window of frames around each frame.

A query of frame t sees all tokens, class tokens too, of the frames t + j * dilation, |j| <= t_w, that exist. Each
length of window is one batched attention over copied keys, so that no work is done for frames that do not exist.
Source: X-ViT (arXiv 2106.05968), section 3.2: full space-time attention within t_w frames to each side, which its
mixing approximates at the cost of one frame. Beyond it: dilation.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from harness.api import (
    DegenerateCase,
    Field,
    FrameAttention,
    FrameBlock,
    FrameEncoder,
    Layout,
    MaskedVariant,
    TrunkGeometry,
    VariantConfig,
    attend,
    with_shared,
)


class LocalWindowConfig(VariantConfig):
    """Knobs of the temporal window."""

    temporal_window: int = Field(1, ge=0, description="t_w, frames to each side")
    dilation: int = Field(1, ge=1, description="distance in frames between two frames of the window")


class LocalWindow(MaskedVariant[LocalWindowConfig]):
    """Attention among the tokens of neighbouring frames, class token per frame."""

    encoder_type = FrameEncoder
    cannot_carry = {}

    def windows(self) -> list[slice]:
        """Return the frames that each frame sees: t_w steps of `dilation` to each side, cut at the ends of the clip."""
        last, most, step = self.trunk.num_frames - 1, self.config.temporal_window, self.config.dilation
        sides = [(frame, min(most, frame // step), min(most, (last - frame) // step)) for frame in range(last + 1)]
        return [slice(frame - before * step, frame + after * step + 1, step) for frame, before, after in sides]

    def validate(self) -> Iterator[tuple[str, str]]:
        yield from super().validate()
        dilation, frames = self.config.dilation, self.trunk.num_frames
        if dilation > 1 and not self.config.temporal_window:
            yield "dilation", f"{dilation} given, but temporal_window is 0: there is nothing to space out; set it to 1"
        elif dilation > 1 and dilation >= frames:
            yield "dilation", f"{dilation} given: none of {frames} frames has a neighbour that far; 1 to {frames - 1}"

    def build_block(self, layer: int) -> FrameBlock:
        return FrameBlock(self.trunk, layer, FrameWindowAttention(self.trunk, layer, self.windows()))

    def allowed(self, layout: Layout, layer: int) -> Tensor:
        steps, dilation = layout.frame_steps().abs(), self.config.dilation
        near = (steps <= self.config.temporal_window * dilation) & (steps % dilation == 0)
        return layout.with_registers(layout.by_frame(near))

    def visible_keys(self, layout: Layout, layer: int) -> Tensor:
        lengths = torch.tensor([len(range(layout.num_frames)[window]) for window in self.windows()])
        keys = lengths * (1 + self.trunk.num_patches) + layout.num_registers
        return torch.where(layout.is_register, layout.num_tokens, keys[layout.frame])

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        # a window that holds the clip is not `joint`: T class tokens in the keys weigh more than one
        yield DegenerateCase("t_w = 0", equals="spatial_only", config={"temporal_window": 0, "dilation": 1})
        yield DegenerateCase("one frame", equals="spatial_only", model={"num_frames": 1})
        tokens = self.trunk.global_tokens
        if not tokens.summary and not tokens.registers:  # copies of a frame outweigh those, and nothing else
            yield DegenerateCase("constant clip", equals="spatial_only", constant_clip=True)


class FrameWindowAttention(FrameAttention):
    """Frame attention whose keys and values are those of a window of frames; summaries and registers as there."""

    def __init__(self, trunk: TrunkGeometry, layer: int, windows: list[slice]):
        super().__init__(trunk, layer)
        self.windows = windows
        self.groups: dict[int, list[int]] = {}  # frames by the length of their window, each group one attention
        for frame, window in enumerate(windows):
            self.groups.setdefault(len(range(len(windows))[window]), []).append(frame)

    def attend_frames(self, q: Tensor, k: Tensor, v: Tensor, shared: list[tuple[Tensor, Tensor]]) -> Tensor:
        outputs: dict[int, Tensor] = {}
        for group in self.groups.values():
            queries = torch.stack([q[:, frame] for frame in group], dim=1)
            rows = with_shared([self._seen(z, group) for z in (k, v)], shared)
            outputs.update(zip(group, attend(queries, *rows).unbind(1), strict=True))
        return torch.stack([outputs[frame] for frame in range(len(self.windows))], dim=1)

    def _seen(self, z: Tensor, group: list[int]) -> Tensor:
        """Copy keys or values (B, T, h, N, c) to what frames of a group see, (B, frames, h, window * N, c)."""
        # slices, not an index: the gradient of indexing adds in random order on a GPU
        return torch.stack([z[:, self.windows[frame]].transpose(1, 2) for frame in group], dim=1).flatten(3, 4)
