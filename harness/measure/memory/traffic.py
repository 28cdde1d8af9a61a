"""Bytes moved by the operators of a forward pass or a training step, counted on fake tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from harness.measure.costs import random_batch
from harness.measure.isolated.request import Mode, build
from harness.measure.memory.predicted import make_fake
from harness.sweep.schema import TrialConfig
from harness.train.loop import loss_of


class TrafficCounter(TorchDispatchMode):
    """Sums the bytes that operators read and write: the tensors of each operator once, nothing for views.

    This is eager execution without cache hits: an upper bound on memory traffic, so the arithmetic intensity from it
    is a lower bound. Traffic inside a kernel is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.moved_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            # an in-place operator returns its input: read and written, so counted twice
            tensors = [item for item in tree_iter((args, kwargs or {}, result)) if isinstance(item, Tensor)]
            self.moved_bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result


def moved_bytes(trial: TrialConfig, mode: Mode, batch_size: int, variant_dirs: Sequence[str] = ()) -> int:
    """Return the bytes moved by one call of `mode`; a training step is counted without the optimizer update."""
    with torch.device("meta"):
        model, labels = build(trial, list(variant_dirs))
    with FakeTensorMode(allow_non_fake_inputs=True):
        make_fake(model)
        batch = random_batch(trial, labels, batch_size, "cpu")
        model.train(mode == "train_step")
        bf16 = trial.train.precision == "bf16"
        with TrafficCounter() as counter, torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            if mode == "inference":
                with torch.inference_mode():
                    model(batch.clips)
            else:
                loss_of(model(batch.clips), batch.labels).backward()
    return counter.moved_bytes
