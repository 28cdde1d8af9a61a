"""From pixels to tokens: patches or tubelets, class token, positions, registers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.nn.config import ModelConfig
from harness.nn.geometry import TrunkGeometry
from harness.nn.tokens import ClassToken, Tokens


def sincos(num_positions: int, dim: int) -> Tensor:
    """Return fixed positions (num_positions, dim): channel 2i is sin, 2i + 1 is cos of p / 10000^(2i/dim)."""
    rate = torch.exp(torch.arange(0, dim, 2, dtype=torch.float64) * (-math.log(10000.0) / dim))
    angle = torch.arange(num_positions, dtype=torch.float64)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float()


def sincos_2d(height: int, width: int, dim: int) -> Tensor:
    """Return fixed positions of a grid (height * width, dim): half of the channels for rows, half for columns."""
    rows = sincos(height, dim // 2)[:, None].expand(-1, width, -1)
    columns = sincos(width, dim // 2)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


class PatchEmbedding(nn.Module):
    """Linear map of each patch, or tubelet of t frames; (B, T, C, H, W) -> (B, T/t, H/p, W/p, D).

    The weight has the layout of a convolution, (D, C, p, p) or (D, C, t, p, p), as in checkpoints; it is applied as a
    matrix product, which is the same arithmetic.
    """

    def __init__(self, dim: int, patch: int, tubelet: int, channels: int = 3):
        super().__init__()
        self.patch, self.tubelet = patch, tubelet
        kernel = (patch, patch) if tubelet == 1 else (tubelet, patch, patch)
        self.weight = nn.Parameter(torch.empty(dim, channels, *kernel))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, clip: Tensor) -> Tensor:
        """Embed every patch or tubelet."""
        batch, frames, channels, height, width = clip.shape
        t, p = self.tubelet, self.patch
        x = clip.view(batch, frames // t, t, channels, height // p, p, width // p, p)
        x = x.permute(0, 1, 4, 6, 3, 2, 5, 7).flatten(4)
        return F.linear(x, self.weight.flatten(1), self.bias)

    def macs(self, num_tokens: int) -> int:
        """Return the multiply-accumulates for this number of patches or tubelets."""
        return num_tokens * self.weight.numel()


class Embedding(nn.Module):
    """Maps a normalised clip (B, T, C, H, W) to the tokens that enter the encoder.

    Temporal positions are added to patches and to class tokens of frames, not to a class token of the clip, as in X-ViT
    and TimeSformer. A joint table has class token and patches in one row.
    """

    def __init__(self, model: ModelConfig, trunk: TrunkGeometry, class_token: ClassToken):
        super().__init__()
        dim, self.class_token = trunk.embed_dim, class_token
        self.proj = PatchEmbedding(dim, model.patch_size, model.tubelet_size)
        num_class = 0 if class_token == "none" else 1
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim)) if num_class else None
        places, frames = trunk.num_patches, trunk.num_frames
        self.pos_embed = self._positions(
            model.spatial_position, num_class + places, dim, num_class, sincos_2d(trunk.height, trunk.width, dim)
        )
        self.temporal_embed = self._positions(model.temporal_position, frames, dim, 0, sincos(frames, dim))
        joint = frames * places
        self.joint_embed = self._positions(model.joint_position, num_class + joint, dim, num_class, sincos(joint, dim))
        num_registers = trunk.global_tokens.registers
        self.registers = nn.Parameter(torch.zeros(1, num_registers, dim)) if num_registers else None

    def _positions(self, kind: str, length: int, dim: int, num_class: int, table: Tensor) -> nn.Parameter | None:
        """Return positions (1, length, dim) of a kind; fixed ones are zero for the class token."""
        if kind == "none":
            return None
        if kind == "learned":
            return nn.Parameter(torch.zeros(1, length, dim))
        fixed = torch.cat([torch.zeros(num_class, dim), table]).unsqueeze(0)
        return nn.Parameter(fixed, requires_grad=False)

    def initialise(self, std: float) -> None:
        """Draw truncated normals: `std` for patches, 0.02 for tokens and positions; temporal ones are zero (X-ViT)."""
        nn.init.trunc_normal_(self.proj.weight, std=std)
        for parameter in (self.cls_token, self.pos_embed, self.joint_embed, self.registers):
            if parameter is not None and parameter.requires_grad:
                nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, clip: Tensor) -> Tokens:
        """Embed a clip, and add positions, class tokens and registers."""
        patches = self.proj(clip)
        batch, frames, height, width, dim = patches.shape
        cls = self._class_tokens(batch, frames, dim)
        if self.pos_embed is not None:
            patches = patches + self.pos_embed[:, -height * width :].view(1, 1, height, width, dim)
            cls = None if cls is None else cls + self.pos_embed[:, :1].squeeze(1)
        if self.temporal_embed is not None:
            patches = patches + self.temporal_embed.view(1, frames, 1, 1, dim)
            cls = cls + self.temporal_embed if cls is not None and self.class_token == "frame" else cls
        if self.joint_embed is not None:
            grid = self.joint_embed[:, -frames * height * width :]
            patches = patches + grid.view(1, frames, height, width, dim)
            cls = None if cls is None else cls + self.joint_embed[:, :1].squeeze(1)
        registers = None if self.registers is None else self.registers.expand(batch, -1, -1)
        return Tokens(patches, cls, registers)

    def _class_tokens(self, batch: int, frames: int, dim: int) -> Tensor | None:
        """Return class tokens (B, D), (B, T, D) or None, by the policy of the variant."""
        if self.cls_token is None:
            return None
        if self.class_token == "frame":
            return self.cls_token.expand(batch, frames, dim)
        return self.cls_token[:, 0].expand(batch, dim)
