"""Dot-product attention: the fused kernel, the written-out softmax, and the projections around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_plain = False  # a plain global, since torch.compile can guard on it and not on a context variable


@contextmanager
def plain_attention() -> Iterator[None]:
    """Make `attend` write the softmax out within this context, instead of calling the fused kernel."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return softmax(q k^T / sqrt(c)) v over the last two dimensions.

    q (..., n, c), k (..., m, c), v (..., m, d) with equal leading dimensions; mask broadcasts to (..., n, m): bool
    (True = sees) or float (added to the scores). Returns (..., n, d).
    """
    if _plain:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
        return scores.softmax(-1) @ v
    if q.ndim <= 4:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    # the fused kernels take four dimensions; with more, torch falls back to the written-out softmax
    leading = q.shape[:-3]
    if mask is not None and mask.ndim > 3:
        mask = mask.expand(*leading, *mask.shape[-3:]).flatten(0, -4)
    q, k, v = (x.flatten(0, -4) for x in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return y.unflatten(0, leading)


class Attention(nn.Module):
    """The projections of multi-head attention: `project` to heads, `merge` back; the variant attends in between.

    Parameters are named as in timm (`qkv`, `proj`). bias: 'all', 'qv' (no key bias, BEiT and VideoMAE) or 'none'.
    """

    def __init__(self, dim: int, num_heads: int, bias: str = "all"):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias == "all")
        self.q_bias = nn.Parameter(torch.zeros(dim)) if bias == "qv" else None
        self.v_bias = nn.Parameter(torch.zeros(dim)) if bias == "qv" else None
        self.proj = nn.Linear(dim, dim)

    def qkv_bias(self) -> Tensor | None:
        """Return the bias of the joint projection (3D,), or None."""
        if self.q_bias is None or self.v_bias is None:
            return self.qkv.bias
        return torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project x (..., n, D) to q, k, v, each (..., h, n, c)."""
        qkv = F.linear(x, self.qkv.weight, self.qkv_bias())
        q, k, v = qkv.unflatten(-1, (3, self.num_heads, -1)).movedim(-3, 0).transpose(-2, -3).unbind(0)
        return q, k, v

    def project_keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Project x (..., n, D) to keys and values alone, each (..., h, n, c)."""
        dim, bias = x.shape[-1], self.qkv_bias()
        rows = F.linear(x, self.qkv.weight[dim:], None if bias is None else bias[dim:])
        k, v = rows.unflatten(-1, (2, self.num_heads, -1)).movedim(-3, 0).transpose(-2, -3).unbind(0)
        return k, v

    def merge(self, y: Tensor) -> Tensor:
        """Join heads y (..., h, n, c) to (..., n, D), through the output projection."""
        return self.proj(y.transpose(-2, -3).flatten(-2))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Self-attend among the tokens of the second-to-last dimension: (..., n, D) -> (..., n, D)."""
        return self.merge(attend(*self.project(x), mask=mask))


def pooled_means(x: Tensor, num_groups: int) -> Tensor:
    """Average R contiguous groups of patches whose sizes differ by one at most: (..., S, c) -> (..., R, c).

    Patch s belongs to group floor(s * R / S), so R = 1 is the mean over all patches.
    """
    if num_groups == 1:
        return x.mean(-2, keepdim=True)
    size = x.shape[-2]
    bounds = [-(-group * size // num_groups) for group in range(num_groups + 1)]
    return torch.cat([x[..., a:b, :].mean(-2, keepdim=True) for a, b in pairwise(bounds)], dim=-2)
