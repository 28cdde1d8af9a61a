"""Multiply-accumulates of one clip, forward, counted three ways on the meta device; backward two ways.

fvcore with our handles, torch's FlopCounterMode / 2, and the closed form of the variant and the trunk. Agreement of
all with no uncounted operator is `exact`; anything else is a mark that travels with the number. The backward pass is
in `harness.measure.count.backward`, the ledger of operators in `harness.measure.count.ledger`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from harness.measure.count.backward import count_backward
from harness.measure.count.fvcore_adapter import count_macs
from harness.measure.count.ledger import Ledger
from harness.model.video_transformer import VideoTransformer
from harness.nn.config import ModelConfig
from harness.nn.tokens import Tokens
from harness.proofs.declarations import has_closed_form
from harness.record import BackwardMacs, MacsCount


def flop_counter_macs(module: nn.Module, *inputs: Tensor) -> int:
    """Count multiply-accumulates by torch's FlopCounterMode (2 per MAC). On meta tensors it sees attention."""
    # with gradients enabled: the counter's module tracker rejects views of parameters made under no_grad
    mapping = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention_flop}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        module(*inputs)
    return int(counter.get_total_flops()) // 2


def _cpu_attention_flop(q: Sequence[int], k: Sequence[int], v: Sequence[int], *rest: Any, **shapes: Any) -> int:
    """Return the FLOPs (2 per MAC) of the CPU kernel, which the table of torch leaves out."""
    return int(sdpa_flop_count(q, k, v))


class _WithTokens(nn.Module):
    """Returns the tokens of the encoder with the logits, since tracing drops what reaches no output.

    Registers that the last layer computes and no readout uses are work all the same.
    """

    def __init__(self, model: VideoTransformer):
        super().__init__()
        self.model = model
        self.kept: list[Tensor] = []

    def _keep(self, module: nn.Module, inputs: object, tokens: Tokens) -> None:
        self.kept = [part for part in tokens if part is not None]

    def forward(self, clip: Tensor) -> list[Tensor]:
        hook = self.model.encoder.register_forward_hook(self._keep)
        try:
            logits = self.model(clip)
        finally:
            hook.remove()
        return [*logits.values(), *self.kept]


def trace_model(model: VideoTransformer, clip: Tensor) -> Ledger:
    """Return the ledger of a forward pass, with the names of the modules of the model."""
    return count_macs(_WithTokens(model), clip).below("model")


def summarise(
    ledger: Ledger, by_mode: int, closed: int | None, masked: int | None = None, backward: BackwardMacs | None = None
) -> MacsCount:
    """Combine the counts, with the status that follows from them."""
    agree = ledger.total == by_mode and closed in (None, by_mode)
    return MacsCount(
        status="lower_bound" if ledger.uncounted_ops else "exact" if agree else "disagrees",
        macs_per_view=ledger.total,
        flop_counter_macs=by_mode,
        closed_form_macs=closed,
        attention_macs=ledger.attention_macs,
        useful_macs=None if masked is None else ledger.total - masked,
        counted_ops=ledger.counted_ops,
        zero_ops=ledger.zero_ops,
        uncounted_ops=ledger.uncounted_ops,
        backward=backward,
    )


def macs_per_view(model: VideoTransformer, config: ModelConfig) -> int:
    """Return the multiply-accumulates of one view: in closed form, counted where a draft has none. Best on meta."""
    if has_closed_form(model.variant):
        return model.macs()
    shape = (1, config.num_frames, 3, config.crop_size, config.crop_size)
    return flop_counter_macs(model, torch.empty(shape, dtype=torch.uint8, device=model.pixel_mean.device))


def count_traced(
    build: Callable[[], VideoTransformer], clip_shape: tuple[int, int, int, int], *, backward: bool = False
) -> tuple[MacsCount, Ledger]:
    """Count a model that `build` makes, for one clip (T, C, H, W), without allocating it; return the ledger too."""
    with torch.device("meta"):
        model = build().eval()
        clip = torch.empty(1, *clip_shape, dtype=torch.uint8)
    ledger = trace_model(model, clip)
    back = count_backward(model, clip, forward=ledger) if backward else None
    closed, masked = (model.macs(), model.variant.masked_macs()) if has_closed_form(model.variant) else (None, None)
    return summarise(ledger, flop_counter_macs(model, clip), closed, masked, back), ledger


def count_model(
    build: Callable[[], VideoTransformer], clip_shape: tuple[int, int, int, int], *, backward: bool = False
) -> MacsCount:
    """Count a model that `build` makes, for one clip (T, C, H, W), without allocating it."""
    return count_traced(build, clip_shape, backward=backward)[0]
