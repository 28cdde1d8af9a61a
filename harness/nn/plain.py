"""Plain arithmetic for oracles: no fused kernel, no reshaping, one row of tokens and a mask.

Everything is written from the definitions on (B, n, D) rows with an explicit (n, m) mask, so that an oracle shares no
code path with the module it checks, only its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from harness.nn.attention import Attention
from harness.nn.blocks import FrameAttention
from harness.nn.grid import windows
from harness.nn.layout import Layout
from harness.nn.shift import source_frame
from harness.nn.steps import Mlp

Rows = tuple[Tensor, Tensor, Tensor]


def linear(module: Any, x: Tensor) -> Tensor:
    """Return x W^T + b, or x for an identity that stands for no linear layer."""
    if isinstance(module, nn.Identity):
        return x
    y = torch.einsum("...i,oi->...o", x, module.weight)
    return y if module.bias is None else y + module.bias


def norm(module: nn.LayerNorm, x: Tensor) -> Tensor:
    """Normalise the last dimension (layer norm) with the biased variance."""
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + module.eps)
    return scaled * module.weight + module.bias


def mlp(module: Mlp, x: Tensor) -> Tensor:
    """Return fc2(GELU(fc1(x))), GELU by its formula."""
    x = linear(module.fc1, x)
    if module.act.approximate == "tanh":
        x = 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))
    else:
        x = 0.5 * x * (1 + torch.erf(x / 2**0.5))
    return linear(module.fc2, x)


def project(attention: Attention, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Project a row (B, n, D) to queries, keys and values (B, n, D); head i owns channels [i c, (i + 1) c)."""
    rows = torch.einsum("bni,oi->bno", x, attention.qkv.weight)
    bias = attention.qkv_bias()
    q, k, v = (rows if bias is None else rows + bias).chunk(3, dim=-1)
    return q, k, v


def attend(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor, num_heads: int, bias: Tensor | None = None) -> Tensor:
    """Attend head by head: q (B, n, D), k and v (B, m, D), allowed bool (n, m) -> (B, n, D).

    `bias` (h, n, m) is added to the scores. A query that sees nothing gets zeros.
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
    """Self-attend in a row (B, n, D) under a mask (n, n), output projection included."""
    return linear(attention.proj, attend(*project(attention, x), allowed, attention.num_heads))


def attention_step(block: Any, x: Tensor, allowed: Tensor, prefix: str = "") -> Tensor:
    """Return fc(attn(norm1(x))) under a mask, from the parts of a block whose names begin with `prefix`."""
    norm1, attention = getattr(block, f"{prefix}norm1"), getattr(block, f"{prefix}attn")
    return linear(getattr(block, f"{prefix}fc", nn.Identity()), self_attention(attention, norm(norm1, x), allowed))


def mlp_step(block: Any, x: Tensor) -> Tensor:
    """Return x + mlp(norm2(x)): the second half of every block."""
    return x + mlp(block.mlp, norm(block.norm2, x))


def attention_in_groups(attention: Attention, x: Tensor, group: Tensor) -> Tensor:
    """Attend within each group of a row (B, n, D), with a copy of token 0, whose updates are averaged.

    group (n,): number of the group of each token, negative where it is in none.
    """
    added, numbers = torch.zeros_like(x), sorted(set(group[group >= 0].tolist()))
    for number in numbers:
        members = [0, *(group == number).nonzero().flatten().tolist()]
        update = self_attention(attention, x[:, members], torch.ones(len(members), len(members)) > 0)
        added[:, members[1:]] = update[:, 1:]
        added[:, 0] = added[:, 0] + update[:, 0] / len(numbers)
    return added


def depthwise_convolution(
    weight: Tensor, rows: Tensor, size: Sequence[int], stride: Sequence[int], kernel: Sequence[int]
) -> Tensor:
    """Convolve a grid channel by channel, place by place of the window: (B, n, c) -> (B, m, c).

    weight (c, 1, *kernel); zeros around the grid, kernel // 2 on each side.
    """
    out = torch.zeros((), dtype=rows.dtype)
    for t, h, w in product(*map(range, kernel)):
        taken = windows(size, stride, kernel, (t, h, w)).to(rows.dtype)
        out = out + torch.einsum("oi,bic->boc", taken, rows) * weight[:, 0, t, h, w]
    return out


def lend_channels(
    rows: Tensor, layout: Layout, offset_of: Sequence[int], ends: str = "zero", slots: Collection[int] | None = None
) -> Tensor:
    """Take channel c of each token of frame t from frame t + offset_of[c], token by token: (B, n, D) -> (B, n, D).

    `slots` restricts this to tokens at these places of a frame (`Layout.slot`).
    """
    places, lent = layout.places(), rows.clone()
    for (frame, slot), token in places.items():
        for offset in set(offset_of) if slots is None or slot in slots else ():
            channels = [channel for channel, own in enumerate(offset_of) if own == offset]
            source = source_frame(frame + offset, layout.num_frames, ends)
            lent[:, token, channels] = 0 if source is None else rows[:, places[source, slot], channels]
    return lent


def summaries(rows: Tensor, layout: Layout, num_summaries: int) -> Tensor:
    """Average the patches of each frame in `num_summaries` groups: (B, n, D) -> (B, T R, D), frame by frame."""
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


def row_attention(
    attention: Any,
    x: Tensor,
    layout: Layout,
    allowed: Tensor,
    num_summaries: int = 0,
    mix: Callable[[Tensor, Tensor, Tensor], Rows] | None = None,
) -> Tensor:
    """Attend in a row (B, n, D) under a mask (n, n); all but registers see the summaries of all frames too.

    `mix` maps the rows of queries, keys and values to the ones that the frames use; registers use the unmixed ones.
    """
    q, k, v = project(attention, x)
    of_registers = attend(q, k, v, allowed, attention.num_heads)
    qm, km, vm = mix(q, k, v) if mix else (q, k, v)
    if num_summaries:
        sources = (km, vm) if attention.summary_mixed else (k, v)
        km, vm = (
            torch.cat([rows, summaries(source, layout, num_summaries)], dim=1)
            for rows, source in zip((km, vm), sources, strict=True)
        )
        extra = torch.ones(layout.num_tokens, layout.num_frames * num_summaries, dtype=torch.bool)
        allowed = torch.cat([allowed, extra], dim=1)
    y = attend(qm, km, vm, allowed, attention.num_heads)
    return linear(attention.proj, torch.where(layout.is_register[:, None], of_registers, y))


def frame_attention(
    attention: FrameAttention, x: Tensor, layout: Layout, mix: Callable[[Tensor, Tensor, Tensor], Rows] | None = None
) -> Tensor:
    """Compute what `FrameAttention` should: frames see themselves, all summaries and the registers."""
    allowed = layout.with_registers(layout.same_frame())
    return row_attention(attention, x, layout, allowed, attention.num_summaries, mix)
