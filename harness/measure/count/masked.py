"""MACs spent on masked pairs: (query, key) pairs that attention computes and a mask then drops."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class _Masks(TorchFunctionMode):
    """Sums the multiply-accumulates of masked pairs over all calls of fused attention."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            mask = kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
            self.macs += 0 if mask is None else _dropped_macs(args[0], args[1], args[2], mask)
        return func(*args, **kwargs)


def _dropped_macs(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> int:
    dropped = ~mask if mask.dtype == torch.bool else mask == float("-inf")
    pairs = dropped.expand(*q.shape[:-1], k.shape[-2]).sum()  # of all heads
    return int(pairs) * (q.shape[-1] + v.shape[-1])


def masked_macs(module: nn.Module, *inputs: Any) -> int:
    """Return the multiply-accumulates that a forward pass spends on masked pairs. Needs real tensors, not meta ones."""
    with torch.no_grad(), _Masks() as masks:
        module(*inputs)
    return masks.macs
