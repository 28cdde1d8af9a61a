"""The one file that touches fvcore: multiply-accumulates of a traced module, with our own handles.

fvcore's own table is not used: it counts fused attention as 0, counts norms, and miscounts broadcast matmuls. Every
operator of the trace falls in exactly one of counted (`HANDLES`), truly zero (`ZERO_OPS`) or uncounted (the rest).
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

Handle = Callable[[Sequence[Any], Sequence[Any]], Counter[str]]


def _shape(value: Any) -> list[int]:
    sizes = value.type().sizes()
    if sizes is None:
        raise ValueError(f"the trace has no shape for {value}")
    return list(sizes)


def _sdpa(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    q, k, v = (_shape(value) for value in inputs[:3])  # (..., n, c), (..., m, c), (..., m, d)
    return Counter({"attention": prod(q[:-1]) * k[-2] * (q[-1] + v[-1])})


def _linear(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    x, weight = _shape(inputs[0]), _shape(inputs[1])  # (..., i), (o, i)
    return Counter({"linear": prod(x) * weight[0]})


def _matmul(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    inner = _shape(inputs[0])[-1]  # the output already has the broadcast leading dimensions
    return Counter({"matmul": prod(_shape(outputs[0])) * inner})


def _addmm(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    return _matmul(inputs[1:], outputs)  # inputs: bias, a, b


def _convolution(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    weight = _shape(inputs[1])  # (out, in / groups, *kernel); transposed: (in, out / groups, *kernel)
    transposed = bool(inputs[6].toIValue()) if len(inputs) > 6 else False
    at = _shape(inputs[0]) if transposed else _shape(outputs[0])
    return Counter({"convolution": at[0] * prod(at[2:]) * prod(weight)})


HANDLES: dict[str, Handle] = {
    "aten::scaled_dot_product_attention": _sdpa,
    "aten::linear": _linear,
    "aten::matmul": _matmul,
    "aten::mm": _matmul,
    "aten::bmm": _matmul,
    "aten::mv": _matmul,
    "aten::dot": _matmul,
    "aten::addmm": _addmm,
    "aten::baddbmm": _addmm,
    "aten::_convolution": _convolution,
}

#: operators without a matrix product or convolution: moving data, elementwise, reductions, norms, tables
# fmt: off
_ZERO_NAMES = (
    "abs", "add", "add_", "amax", "arange", "argmax", "as_strided", "avg_pool3d", "bernoulli_", "bitwise_and",
    "bitwise_not", "broadcast_tensors", "cat", "ceil", "chunk", "clamp", "clamp_min", "clone", "constant_pad_nd",
    "contiguous", "copy_", "cos", "cumsum", "detach", "diagonal", "div", "div_", "dropout", "empty", "empty_like",
    "eq", "exp", "expand", "expand_as", "eye", "fill_", "flatten", "flip", "floor", "floor_divide", "full",
    "full_like", "gather", "ge", "gelu", "gt", "index", "index_put_", "index_select", "layer_norm", "le",
    "lift_fresh", "linspace", "log", "logical_and", "logical_not", "lt", "masked_fill", "masked_fill_", "max",
    "max_pool3d", "max_pool3d_with_indices", "mean", "min", "movedim", "mul", "mul_", "narrow", "ne", "neg",
    "new_zeros", "ones", "ones_like", "pad", "permute", "pow", "rand", "reciprocal", "relu", "remainder", "repeat",
    "repeat_interleave", "reshape", "roll", "rsqrt", "rsub", "scatter", "select", "sigmoid", "sin", "size", "slice",
    "softmax", "split", "split_with_sizes", "sqrt", "squeeze", "squeeze_", "stack", "sub", "sub_", "sum", "tanh",
    "tensor_split", "to", "transpose", "tril", "triu", "type_as", "unbind", "unflatten", "unfold", "unsqueeze",
    "unsqueeze_", "upsample_linear1d", "view", "where", "zeros", "zeros_like",
)
# fmt: on
ZERO_OPS = frozenset(f"aten::{name}" for name in _ZERO_NAMES)


@dataclass(frozen=True)
class TracedCount:
    """MACs by operator kind, and how often each operator with unknown cost was met."""

    macs_by_kind: dict[str, int]
    uncounted_ops: dict[str, int]

    @property
    def total(self) -> int:
        """Multiply-accumulates of the trace."""
        return sum(self.macs_by_kind.values())


class _RecordedConvolutions(TorchFunctionMode):
    """Hands convolutions to the operator that the tracer records: it fails to follow conv3d on the meta device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        called = _recorded_convolution if func in (torch.conv1d, torch.conv2d, torch.conv3d) else func
        return called(*args, **(kwargs or {}))


def _recorded_convolution(
    input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> torch.Tensor:  # fmt: skip
    axes = weight.ndim - 2
    stride, padding, dilation = ([z] * axes if isinstance(z, int) else list(z) for z in (stride, padding, dilation))
    flags = (False, False, False, False)  # benchmark, deterministic, cudnn_enabled, allow_tf32
    return torch._convolution(input, weight, bias, stride, padding, dilation, False, [0] * axes, groups, *flags)


def count_macs(module: nn.Module, *inputs: torch.Tensor) -> TracedCount:
    """Traces the module (best on the meta device: no memory) and counts its multiply-accumulates.

    The module is put in eval mode for the trace, since training-only operators are not part of inference.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore warns about a deprecated torch call on import and on trace
        from fvcore.nn.jit_analysis import JitModelAnalysis

        was_training = module.training
        analysis = JitModelAnalysis(module.eval(), inputs)
        analysis.set_op_handle(**HANDLES)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
        try:
            with _RecordedConvolutions():
                by_kind: Counter[str] = analysis.by_operator()
            met = analysis.unsupported_ops()
        finally:
            module.train(was_training)
    uncounted = {name: number for name, number in met.items() if name not in ZERO_OPS}
    return TracedCount({kind: int(number) for kind, number in by_kind.items()}, uncounted)
