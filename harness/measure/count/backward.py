"""Multiply-accumulates of the backward pass: counted while it runs, and by a rule from the forward graph.

Convention: gradients of all parameters, attention written out as two products, no recomputation. A fused attention
kernel recomputes the scores (5 products instead of 4) and checkpointing the whole forward pass; neither is counted, so
that the number does not depend on the kernel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from harness.measure.count.fvcore_adapter import ZERO_OPS
from harness.measure.count.ledger import Ledger
from harness.nn.attention import plain_attention
from harness.record import BackwardMacs

#: node of the autograd graph -> positions of the two factors among its inputs
_PRODUCTS = {
    "MmBackward0": (0, 1),
    "BmmBackward0": (0, 1),
    "MvBackward0": (0, 1),
    "DotBackward0": (0, 1),
    "AddmmBackward0": (1, 2),
    "BaddbmmBackward0": (1, 2),
    "ConvolutionBackward0": (0, 1),
}

#: operators without a product, by their names in a backward pass
BACKWARD_ZERO_OPS = ZERO_OPS | {
    f"aten::{name}"
    for name in (
        "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward", "_log_softmax", "_log_softmax_backward_data",
        "_softmax", "_softmax_backward_data", "_to_copy", "_unsafe_index_put", "_unsafe_view",
        "adaptive_max_pool2d_backward", "adaptive_max_pool3d_backward", "alias", "as_strided_scatter",
        "avg_pool2d_backward", "avg_pool3d_backward", "diagonal_backward", "elu_backward", "embedding_dense_backward",
        "gelu_backward", "glu_backward", "hardsigmoid_backward", "hardswish_backward", "hardtanh_backward",
        "index_add", "index_put", "leaky_relu_backward", "max_pool2d_with_indices_backward",
        "max_pool3d_with_indices_backward", "mish_backward", "native_batch_norm_backward",
        "native_group_norm_backward", "native_layer_norm_backward", "new_empty_strided", "select_backward", "sgn",
        "sigmoid_backward", "silu_backward", "slice_backward", "softplus_backward", "tanh_backward",
        "threshold_backward", "unfold_backward", "upsample_bilinear2d_backward", "upsample_linear1d_backward",
        "upsample_nearest2d_backward", "upsample_nearest3d_backward", "upsample_trilinear3d_backward",
        "value_selecting_reduction_backward",
    )
}  # fmt: skip


def count_backward(module: nn.Module, *inputs: Tensor, forward: Ledger) -> BackwardMacs:
    """Count the backward pass of the sum of all outputs with respect to all parameters. Use the meta device."""
    with plain_attention(), torch.enable_grad():
        outputs = [out for out in tree_iter(module(*inputs)) if isinstance(out, Tensor) and out.requires_grad]
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    both, one = _by_rule([out.grad_fn for out in outputs])
    mapping = {torch.ops.aten.convolution_backward: _convolution_backward_flop}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter, _Names() as names:
        torch.autograd.grad([out.sum() for out in outputs], parameters, allow_unused=True)
    counted, rule = int(counter.get_total_flops()) // 2, 2 * both + one
    return BackwardMacs(
        status="lower_bound" if names.unknown else "exact" if counted == rule else "disagrees",
        macs_per_view=counted,
        rule_macs=rule,
        one_sided_macs=one,
        # with uncounted operators in the forward pass, its total is unknown
        no_gradient_macs=None if forward.uncounted_ops else forward.total - both - one,
        uncounted_ops=dict(names.unknown),
    )


def _by_rule(roots: Sequence[Any]) -> tuple[int, int]:
    """Return forward MACs of the products with two factors that need a gradient, and of those with one."""
    by_factors: Counter[int] = Counter()
    for node in _nodes(roots):
        if node.name() in _PRODUCTS:
            first, second = _PRODUCTS[node.name()]
            needing = [place for place in (first, second) if node.next_functions[place][0] is not None]
            by_factors[len(needing)] += _forward_macs(node)
    return by_factors[2], by_factors[1]


def _nodes(roots: Sequence[Any]) -> Iterator[Any]:
    """Yield every node of the graph that a gradient reaches, once."""
    seen, waiting = set(), list(roots)
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [following for following, _ in node.next_functions]


def _forward_macs(node: Any) -> int:
    """Return the forward multiply-accumulates of one product, from the tensors that its node saved."""
    out = list(node._input_metadata[0].shape)
    if node.name() != "ConvolutionBackward0":
        return prod(out) * _inner(node)
    at = list(node._saved_input.shape) if node._saved_transposed else out
    return at[0] * prod(at[2:]) * prod(node._saved_weight.shape)


def _inner(node: Any) -> int:
    """Return the length of the axis that a product sums over; at least one factor is saved, for the other's gradient.

    Names of the factors, as in torch's derivatives: self, mat1, batch1 times mat2, batch2, vec, tensor.
    """
    for name in ("self", "mat1", "batch1"):
        first = getattr(node, f"_saved_{name}", None)
        if first is not None:
            return int(first.shape[-1])
    for name in ("mat2", "batch2", "vec", "tensor"):
        second = getattr(node, f"_saved_{name}", None)
        if second is not None:
            return int(second.shape[-2] if second.ndim > 1 else second.shape[-1])
    raise ValueError(f"{node.name()} has saved neither of its factors")


def _convolution_backward_flop(
    grad_out: Sequence[int], x: Sequence[int], weight: Sequence[int], *rest: Any, **shapes: Any
) -> int:
    """Return 2 per MAC for each requested gradient. The formula of torch ignores groups, and so overestimates."""
    transposed, output_mask = rest[4], rest[7]  # after bias sizes, stride, padding and dilation
    at = x if transposed else grad_out
    return 2 * at[0] * prod(at[2:]) * prod(weight) * sum(map(bool, output_mask[:2]))


class _Names(TorchDispatchMode):
    """Records the operators that are neither counted nor known to have no product."""

    def __init__(self) -> None:
        super().__init__()
        self.unknown: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().split(".")[0]
        if func.overloadpacket not in flop_registry and name not in BACKWARD_ZERO_OPS:
            self.unknown[name] += 1
        return func(*args, **(kwargs or {}))
