"""Tokens between trunk and encoder, and their two layouts in memory.

Shape legend: B clips, T frames of tokens, H x W patches of a frame, S = H * W, G registers, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

ClassToken = Literal["clip", "frame", "none"]


class Tokens(NamedTuple):
    """Input and output of an encoder.

    patches (B, T, H, W, D); cls (B, D) one per clip, (B, T, D) one per frame, or None; registers (B, G, D) or None.
    """

    patches: Tensor
    cls: Tensor | None = None
    registers: Tensor | None = None

    @property
    def class_token(self) -> ClassToken:
        """Return the class-token policy of these tokens."""
        if self.cls is None:
            return "none"
        return "clip" if self.cls.ndim == 2 else "frame"

    def map(self, function: Callable[[Tensor], Tensor]) -> Tokens:
        """Apply a function to each kind of token that is present."""
        patches, cls, registers = (None if part is None else function(part) for part in self)
        assert patches is not None
        return Tokens(patches, cls, registers)


class FrameTokens(NamedTuple):
    """Tokens laid out frame by frame: x (B, T, [1+]S, D), class token of the frame first; registers separately."""

    x: Tensor
    registers: Tensor | None


def to_frames(tokens: Tokens) -> FrameTokens:
    """Arrange tokens with a class token per frame, or none, frame by frame."""
    x = tokens.patches.flatten(2, 3)
    if tokens.cls is not None:
        x = torch.cat([tokens.cls.unsqueeze(2), x], dim=2)
    return FrameTokens(x, tokens.registers)


def from_frames(frames: FrameTokens, height: int, width: int) -> Tokens:
    """Invert `to_frames`; there are class tokens if a frame has one token more than patches."""
    x, has_class = frames.x, frames.x.shape[2] > height * width
    patches = (x[:, :, 1:] if has_class else x).unflatten(2, (height, width))
    return Tokens(patches, x[:, :, 0] if has_class else None, frames.registers)


def to_sequence(tokens: Tokens) -> Tensor:
    """Concatenate all tokens of a clip to one row (B, n, D): class tokens, patches (t h w), registers."""
    parts = [tokens.patches.flatten(1, 3)]
    if tokens.cls is not None:
        parts.insert(0, tokens.cls.unsqueeze(1) if tokens.cls.ndim == 2 else tokens.cls)
    if tokens.registers is not None:
        parts.append(tokens.registers)
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def from_sequence(x: Tensor, like: Tokens) -> Tokens:
    """Invert `to_sequence` for tokens of the same grid as `like`."""
    num_class = {"none": 0, "clip": 1, "frame": like.patches.shape[1]}[like.class_token]
    num_registers = 0 if like.registers is None else like.registers.shape[1]
    end = x.shape[1] - num_registers
    patches = x[:, num_class:end].unflatten(1, like.patches.shape[1:4])
    cls = None if not num_class else x[:, 0] if like.class_token == "clip" else x[:, :num_class]
    return Tokens(patches, cls, x[:, end:] if num_registers else None)
