"""Space-time mixing: frames lend channels of their keys and values to their neighbours, at the cost of space-only.

Channel c of the keys (values) of frame t is taken from frame t + o(c); attention itself stays within the frame. With
C channels (those of a head, or of all heads in a row), each of the 2 t_w offsets +1, -1, +2, -2, ... gets
floor(rho C / (2 t_w)) channels from channel 0 on, the rest stay with the own frame.
Source: X-ViT, "Space-time Mixing Attention for Video Transformer" (arXiv 2106.05968), sections 3.2 and 4; layout
`concat` with rho = 2 / SHIFT_DIV and t_w = 1 is its released code. Beyond it: ends other than zeros, mixed queries.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor

from harness.api import (
    DegenerateCase,
    Field,
    FrameAttention,
    FrameBlock,
    Layout,
    TrunkGeometry,
    Variant,
    VariantConfig,
    count,
    layer_set,
    lend_channels,
    plain,
    source_frame,
)


class MixingConfig(VariantConfig):
    """Knobs of space-time mixing."""

    temporal_window: Annotated[int, Field(ge=0)] = Field(1, description="t_w, frames to each side")
    mixed_fraction: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="rho, share of mixed channels")
    channel_layout: Literal["per_head", "concat"] = Field("per_head", description="channels of a head, or of all")
    mixed: Literal["x", "key", "value", "key+value", "query", "query+key+value"] = "key+value"
    layers: Literal["all", "first_half", "second_half", "odd"] | list[Annotated[int, Field(ge=0)]] = "all"
    ends: Literal["zero", "replicate", "circular"] = Field("zero", description="what lies outside the clip")
    outer_only: bool = Field(False, description="mix with the frames t - t_w and t + t_w only")


class Mixing(Variant[MixingConfig]):
    """Attention within each frame over keys and values mixed from the frames around it."""

    cannot_carry = {}

    def offsets(self, layer: int) -> list[int]:
        """Return the frame offsets that lend channels, in the order of their channels."""
        window = self.config.temporal_window
        if not window or not self.config.mixed_fraction or layer not in layer_set(self.config.layers, self.trunk.depth):
            return []
        reach = [window] if self.config.outer_only else range(1, window + 1)
        return [sign * distance for distance in reach for sign in (1, -1)]

    def _channels(self) -> int:
        return self.trunk.head_dim if self.config.channel_layout == "per_head" else self.trunk.embed_dim

    def folds(self, layer: int) -> list[tuple[int, int, int]]:
        """Return (offset, first channel, end channel) of each group of mixed channels."""
        offsets = self.offsets(layer)
        size = _fold(self.config.mixed_fraction, self._channels(), len(offsets))
        return [(offset, i * size, (i + 1) * size) for i, offset in enumerate(offsets)]

    def validate(self) -> Iterator[tuple[str, str]]:
        yield from super().validate()
        config, channels, window = self.config, self._channels(), self.config.temporal_window
        num_offsets = 2 * (1 if config.outer_only else window)
        if window and config.mixed_fraction and not _fold(config.mixed_fraction, channels, num_offsets):
            mixed = int(config.mixed_fraction * channels + 1e-9)
            head = f"a head (head_dim {channels}" if config.channel_layout == "per_head" else f"all heads ({channels}"
            shared = f"{num_offsets} neighbour frames share the {mixed} mixed channels of {head}"
            fits = f"mixed_fraction {config.mixed_fraction}); largest that fits: {mixed // 2}"
            yield "temporal_window", f"{window} given: {shared}, {fits}"
        if isinstance(config.layers, list) and max(config.layers, default=0) >= self.trunk.depth:
            yield "layers", f"{max(config.layers)} given; layers are numbered 0 to {self.trunk.depth - 1}"

    def build_block(self, layer: int) -> FrameBlock:
        return FrameBlock(self.trunk, layer, MixingAttention(self.trunk, layer, self.folds(layer), self.config))

    def block_macs(self, layer: int) -> int:
        mixes_input = self.config.mixed == "x" and bool(self.folds(layer))
        return count.frame_block_macs(self.trunk, layer, 1 + self.trunk.num_patches, mixes_input)

    def reference_offsets(self, layer: int) -> list[int]:
        """Oracle: return o(c) of the channels of a head or of all heads, without `folds` and `offsets`."""
        config, num_channels = self.config, self._channels()
        num_neighbours = 2 * min(config.temporal_window, 1) if config.outer_only else 2 * config.temporal_window
        if layer not in layer_set(config.layers, self.trunk.depth) or not num_neighbours:
            return [0] * num_channels
        most = config.mixed_fraction * num_channels + 1e-9
        share = max(n for n in range(num_channels + 1) if n * num_neighbours <= most)
        offset_of = []
        for channel in range(num_channels):
            neighbour = channel // share if share else num_neighbours
            distance = config.temporal_window if config.outer_only else neighbour // 2 + 1
            ahead = neighbour % 2 == 0
            offset_of.append((distance if ahead else -distance) if neighbour < num_neighbours else 0)
        return offset_of

    def block_influence(self, layout: Layout, layer: int) -> Tensor:
        offsets = set(self.reference_offsets(layer))
        if self.config.mixed in ("key", "value", "query"):
            offsets.add(0)  # the values, or the keys, are those of the own frame
        reach = torch.zeros(layout.num_frames, layout.num_frames, dtype=torch.bool)
        for offset in offsets:
            for frame in range(layout.num_frames):
                source = source_frame(frame + offset, layout.num_frames, self.config.ends)
                if source is not None:
                    reach[frame, source] = True
        seen = layout.by_frame(reach)
        if self.config.mixed == "query":
            seen = (seen & (layout.slot[:, None] == layout.slot[None])) | layout.same_frame()
        return layout.with_summaries(layout.with_registers(seen), self.trunk.summaries(layer))

    def reference_attention(self, attention: MixingAttention, x: Tensor, layout: Layout, layer: int) -> Tensor:
        what = self.config.mixed

        def mix(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            if what == "x":
                return plain.project(attention, self._reference_mix(x, layout, layer))
            rows = {"query": q, "key": k, "value": v}
            for name in what.split("+"):
                rows[name] = self._reference_mix(rows[name], layout, layer)
            return rows["query"], rows["key"], rows["value"]

        return plain.frame_attention(attention, x, layout, mix)

    def _reference_mix(self, rows: Tensor, layout: Layout, layer: int) -> Tensor:
        offset_of = self.reference_offsets(layer) * (rows.shape[-1] // self._channels())
        return plain.lend_channels(rows, layout, offset_of, self.config.ends)

    def degenerate_cases(self) -> Iterator[DegenerateCase]:
        yield DegenerateCase("t_w = 0", equals="spatial_only", config={"temporal_window": 0})
        yield DegenerateCase("rho = 0", equals="spatial_only", config={"mixed_fraction": 0.0})
        yield DegenerateCase("no layer mixes", equals="spatial_only", config={"layers": []})
        for ends in ("replicate", "circular"):
            case = {"equals": "spatial_only", "config": {"ends": ends}}
            yield DegenerateCase(f"constant clip, {ends} ends", constant_clip=True, **case)  # type: ignore[arg-type]
            yield DegenerateCase(f"one frame, {ends} ends", model={"num_frames": 1}, **case)  # type: ignore[arg-type]


def _fold(fraction: float, channels: int, num_offsets: int) -> int:
    """Return the channels of each offset; the epsilon keeps e.g. 0.1 * 30 from being rounded below 3."""
    return int(fraction * channels / num_offsets + 1e-9) if num_offsets else 0


class MixingAttention(FrameAttention):
    """Frame attention whose queries, keys, values or input are mixed over time before use."""

    def __init__(self, trunk: TrunkGeometry, layer: int, folds: list[tuple[int, int, int]], config: MixingConfig):
        super().__init__(trunk, layer)
        self.folds = folds
        self.ends = config.ends
        self.mixed = frozenset(config.mixed.split("+"))
        self.mixes_input = "x" in self.mixed and bool(folds)
        self.per_head = config.channel_layout == "per_head"

    def _mix(self, x: Tensor) -> Tensor:
        """Take channels of the last dimension from the frames that the folds name; time is dimension 1."""
        return lend_channels(x, self.folds, self.ends)

    def _mix_heads(self, x: Tensor) -> Tensor:
        """Mix (B, T, h, N, c) by the channels of each head, or of all heads in a row."""
        if self.per_head or not self.folds:
            return self._mix(x)
        row = x.transpose(2, 3).flatten(3)
        return self._mix(row).unflatten(3, (x.shape[2], x.shape[4])).transpose(2, 3)

    def mix_input(self, x: Tensor) -> Tensor:
        if not self.mixes_input:
            return x
        return self._mix(x.unflatten(-1, (self.num_heads, -1))).flatten(-2) if self.per_head else self._mix(x)

    def mix_projected(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return tuple(  # type: ignore[return-value]
            self._mix_heads(z) if name in self.mixed else z for name, z in (("query", q), ("key", k), ("value", v))
        )
