"""Multiply-accumulates of one clip, forward, counted three ways on the meta device.

fvcore with our handles, torch's FlopCounterMode / 2, and the closed form of the variant and the trunk. Agreement of
all three with no uncounted operator is `exact`; anything else is a mark that travels with the number.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.measure.fvcore_adapter import count_macs
from harness.model.trunk import VideoTransformer
from harness.nn.tokens import Tokens
from harness.record import MacsCount


def flop_counter_macs(module: nn.Module, *inputs: torch.Tensor) -> int:
    """Multiply-accumulates by torch's FlopCounterMode, which counts 2 per MAC. On meta tensors it sees attention."""
    # with gradients enabled: the counter's module tracker rejects views of parameters made under no_grad
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    return int(counter.get_total_flops()) // 2


class _WithTokens(nn.Module):
    """Returns the encoder's tokens beside the logits: tracing drops whatever does not reach an output, and registers
    that the last layer computes and no readout uses are work all the same."""

    def __init__(self, model: VideoTransformer):
        super().__init__()
        self.model = model
        self.kept: list[torch.Tensor] = []
        model.encoder.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: object, tokens: Tokens) -> None:
        self.kept = [part for part in tokens if part is not None]

    def forward(self, clip: torch.Tensor) -> list[torch.Tensor]:
        logits = self.model(clip)
        return [*logits.values(), *self.kept]


def count_model(build: Callable[[], VideoTransformer], clip_shape: tuple[int, int, int, int]) -> MacsCount:
    """Counts a model that `build` makes, for one clip (T, C, H, W), without allocating it."""
    with torch.device("meta"):
        model = build().eval()
        clip = torch.empty(1, *clip_shape, dtype=torch.uint8)
    traced = count_macs(_WithTokens(model), clip)
    by_mode, closed = flop_counter_macs(model, clip), model.macs()
    agree = traced.total == by_mode == closed
    status = "lower_bound" if traced.uncounted_ops else "exact" if agree else "disagrees"
    return MacsCount(
        status=status,
        macs_per_view=traced.total,
        flop_counter_macs=by_mode,
        closed_form_macs=closed,
        attention_macs=traced.macs_by_kind.get("attention", 0),
        uncounted_ops=traced.uncounted_ops,
    )
