"""Slow, plain arithmetic for the references of variants: no fused kernel, no reshaping, one row of tokens and a mask.

Everything is written from the definitions on (B, n, D) rows with an explicit (n, m) mask, so that a reference shares
no code path with the module it checks, only its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor, nn

from harness.nn.attention import Attention
from harness.nn.blocks import FrameAttention, Mlp
from harness.nn.grid import windows
from harness.nn.layout import Layout

Rows = tuple[Tensor, Tensor, Tensor]


def linear(module: nn.Linear, x: Tensor) -> Tensor:
    """x W^T + b."""
    y = torch.einsum("...i,oi->...o", x, module.weight)
    return y if module.bias is None else y + module.bias


def norm(module: nn.LayerNorm, x: Tensor) -> Tensor:
    """Layer norm over the last dimension with the biased variance."""
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + module.eps)
    return scaled * module.weight + module.bias


def mlp(module: Mlp, x: Tensor) -> Tensor:
    """fc2(GELU(fc1(x))), GELU by its formula."""
    x = linear(module.fc1, x)
    if module.act.approximate == "tanh":
        x = 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))
    else:
        x = 0.5 * x * (1 + torch.erf(x / 2**0.5))
    return linear(module.fc2, x)


def project(attention: Attention, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (B, n, D) of a row of tokens (B, n, D); head i owns channels [i c, (i + 1) c)."""
    rows = torch.einsum("bni,oi->bno", x, attention.qkv.weight)
    bias = attention.qkv_bias()
    q, k, v = (rows if bias is None else rows + bias).chunk(3, dim=-1)
    return q, k, v


def attend(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor, num_heads: int, bias: Tensor | None = None) -> Tensor:
    """Attention of each head in turn: q (B, n, D), k and v (B, m, D), allowed bool (n, m) -> (B, n, D).

    `bias` (h, n, m) is added to the scores. A query that may look at nothing gets zeros.
    """
    outputs = []
    for head, (qh, kh, vh) in enumerate(zip(*(z.chunk(num_heads, -1) for z in (q, k, v)), strict=True)):
        scores = torch.einsum("bnc,bmc->bnm", qh, kh) / qh.shape[-1] ** 0.5
        if bias is not None:
            scores = scores + bias[head]
        scores = scores.masked_fill(~allowed, -1e30)
        weights = torch.exp(scores - scores.amax(-1, keepdim=True).detach()) * allowed
        total = weights.sum(-1, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)
        outputs.append(torch.einsum("bnm,bmc->bnc", weights / total, vh))
    return torch.cat(outputs, dim=-1)


def self_attention(attention: Attention, x: Tensor, allowed: Tensor) -> Tensor:
    """Multi-head self-attention of a row (B, n, D) under a mask (n, n), output projection included."""
    return linear(attention.proj, attend(*project(attention, x), allowed, attention.num_heads))


def depthwise_convolution(
    weight: Tensor, rows: Tensor, size: Sequence[int], stride: Sequence[int], kernel: Sequence[int]
) -> Tensor:
    """Convolution of a grid, channel by channel, place by place of the window: (B, n, c) -> (B, m, c).

    weight (c, 1, *kernel); zeros around the grid, kernel // 2 on each side.
    """
    out = torch.zeros((), dtype=rows.dtype)
    for t, h, w in product(*map(range, kernel)):
        taken = windows(size, stride, kernel, (t, h, w)).to(rows.dtype)
        out = out + torch.einsum("oi,bic->boc", taken, rows) * weight[:, 0, t, h, w]
    return out


def summaries(rows: Tensor, layout: Layout, num_summaries: int) -> Tensor:
    """Means over the patches of each frame, in `num_summaries` groups: (B, n, D) -> (B, T R, D), frame by frame."""
    size = layout.height * layout.width
    means = []
    for frame in range(layout.num_frames):
        for group in range(num_summaries):
            member = [
                i
                for i in range(layout.num_tokens)
                if layout.frame[i] == frame and layout.is_patch[i] and layout.slot[i] * num_summaries // size == group
            ]
            means.append(rows[:, member].mean(1))
    return torch.stack(means, dim=1)


def frame_attention(
    attention: FrameAttention, x: Tensor, layout: Layout, mix: Callable[[Tensor, Tensor, Tensor], Rows] | None = None
) -> Tensor:
    """Reference of `FrameAttention`: a row (B, n, D) whose frames see themselves, all summaries and the registers.

    `mix` maps the rows of queries, keys and values to the ones that the frames use; registers use the unmixed ones.
    """
    q, k, v = project(attention, x)
    qm, km, vm = mix(q, k, v) if mix else (q, k, v)
    allowed = layout.with_registers(layout.same_frame())
    if attention.num_summaries:
        sources = (km, vm) if attention.summary_mixed else (k, v)
        km, vm = (
            torch.cat([rows, summaries(source, layout, attention.num_summaries)], dim=1)
            for rows, source in zip((km, vm), sources, strict=True)
        )
        extra = torch.ones(layout.num_tokens, km.shape[1] - layout.num_tokens, dtype=torch.bool)
        y = attend(qm, km, vm, torch.cat([allowed, extra], dim=1), attention.num_heads)
    else:
        y = attend(qm, km, vm, allowed, attention.num_heads)
    of_registers = attend(q, k, v, layout.everyone(), attention.num_heads)
    return linear(attention.proj, torch.where(layout.is_register[:, None], of_registers, y))
