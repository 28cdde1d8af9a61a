"""The parts of a layer: norm, attention and linear layer of one step, MLP, drop path, and their initial weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.nn.attention import Attention
from harness.nn.geometry import TrunkGeometry


class DropPath(nn.Module):
    """Stochastic depth: in training, drops a clip's branch with probability `rate` and rescales the others."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Drop the branch (B, ...) of some clips."""
        return self.together(x)[0]

    def together(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """Drop several tensors (B, ...) of one branch with one draw per clip."""
        if not self.training or self.rate == 0:
            return parts
        keep = torch.rand(parts[0].shape[0], device=parts[0].device) >= self.rate
        return tuple(x * keep.view(-1, *[1] * (x.ndim - 1)).to(x.dtype) / (1 - self.rate) for x in parts)


class Mlp(nn.Module):
    """fc2(GELU(fc1(x))), (..., D) -> (..., D)."""

    def __init__(self, dim: int, hidden: int, gelu: str = "erf"):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU(approximate="tanh" if gelu == "tanh" else "none")
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the MLP to every token."""
        return self.fc2(self.act(self.fc1(x)))


class ZeroLinear(nn.Linear):
    """A linear layer that starts at zero, so that the step it closes adds nothing at first."""

    def initialise(self) -> None:
        """Set weight and bias to zero."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


def attention(trunk: TrunkGeometry, fc: str = "none") -> tuple[nn.LayerNorm, Attention, nn.Module]:
    """Build norm, attention and closing linear layer of a step; `fc`: 'zero_init', 'random_init' or 'none'."""
    dim = trunk.embed_dim
    attend = Attention(dim, trunk.num_heads, trunk.qkv_bias)
    closing = nn.Identity() if fc == "none" else ZeroLinear(dim, dim) if fc == "zero_init" else nn.Linear(dim, dim)
    return nn.LayerNorm(dim, eps=trunk.norm_eps), attend, closing


def mlp(trunk: TrunkGeometry, layer: int) -> tuple[nn.LayerNorm, Mlp, DropPath]:
    """Build norm and MLP of a layer, and the drop path of its branches."""
    parts = Mlp(trunk.embed_dim, trunk.mlp_dim, trunk.gelu), DropPath(trunk.layer_drop_path(layer))
    return nn.LayerNorm(trunk.embed_dim, eps=trunk.norm_eps), *parts


def image_names(trunk: TrunkGeometry, **own_to_image: str) -> dict[str, str]:
    """Return `blocks.i.OWN` -> `blocks.i.IMAGE` for every layer i, the form of `Variant.image_weights`."""
    return {
        f"blocks.{i}.{own}": f"blocks.{i}.{image}" for i in range(trunk.depth) for own, image in own_to_image.items()
    }
