"""Multiply-accumulates of a traced module. The only file that uses fvcore, with handles of our own.

The table of fvcore is not used: it counts fused attention as 0, counts norms, and miscounts broadcast matmuls. Every
operator of the trace is exactly one of counted (`HANDLES`), zero (`ZERO_OPS`) or uncounted (the rest); the ledger lists
every operator with its calls.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from harness.measure.count.convolution import GENERAL, PLAIN, RECORDED, TRANSPOSED, convolution_macs
from harness.measure.count.einsum import einsum_cost
from harness.measure.count.ledger import Ledger, OpCount

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


def _mm(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    # without leading dimensions: no product of attention, which has at least a batch
    return Counter({"linear": _matmul(inputs, outputs)["matmul"]})


def _addmm(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    return _mm(inputs[1:], outputs)  # inputs: bias, a, b


def _baddbmm(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    return _matmul(inputs[1:], outputs)


def _convolution(op: str) -> Handle:
    def counted(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
        is_transposed = op in GENERAL and bool(inputs[6].toIValue())
        macs = convolution_macs(op, _shape(inputs[0]), _shape(inputs[1]), _shape(outputs[0]), is_transposed)
        return Counter({"convolution": macs})

    return counted


def _einsum(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    equation, operands, path = inputs[0].toIValue(), list(inputs[1].node().inputs()), _integers(inputs[2])
    cost = einsum_cost(equation, [_shape(value) for value in operands], path)
    # as for mm and bmm: a product of attention has at least a batch
    return Counter({"matmul" if cost.has_batch else "linear": cost.macs})


def _integers(value: Any) -> list[int] | None:
    """Return a list of integers of the trace; None if it is not given."""
    if value.node().kind() == "prim::ListConstruct":
        return [int(item.toIValue()) for item in value.node().inputs()]
    found = value.toIValue()
    return None if found is None else list(found)


HANDLES: dict[str, Handle] = {
    "aten::scaled_dot_product_attention": _sdpa,
    "aten::linear": _linear,
    "aten::matmul": _matmul,
    "aten::mm": _mm,
    "aten::bmm": _matmul,
    "aten::mv": _mm,
    "aten::dot": _mm,
    "aten::addmm": _addmm,
    "aten::baddbmm": _baddbmm,
    **{f"aten::{op}": _convolution(op) for op in (*GENERAL, *PLAIN, *TRANSPOSED, "conv_tbc")},
    "aten::einsum": _einsum,
}

#: operators without a matrix product or convolution: data movement, elementwise, reductions, norms, lookups
# fmt: off
_ZERO_NAMES = (
    "Int", "ScalarImplicit", "abs", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "add", "add_", "adjoint", "alpha_dropout",
    "alpha_dropout_", "amax", "__and__", "arange", "argmax", "as_strided", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "batch_norm", "bernoulli_", "bitwise_and", "bitwise_not", "broadcast_tensors", "cat", "ceil", "channel_shuffle",
    "chunk", "clamp", "clamp_", "clamp_min", "clone", "constant_pad_nd", "contiguous", "copy_", "cos", "cumsum",
    "detach", "diagonal", "div", "div_", "dropout", "dropout_", "elu", "elu_", "embedding", "empty", "empty_like",
    "eq", "erf", "exp", "expand", "expand_as", "expm1", "eye", "feature_alpha_dropout", "feature_alpha_dropout_",
    "feature_dropout", "feature_dropout_", "fill_", "flatten", "flip", "floor", "floor_divide", "full", "full_like",
    "gather", "ge", "gelu", "gelu_", "glu", "group_norm", "gt", "hardsigmoid", "hardsigmoid_", "hardswish",
    "hardswish_", "hardtanh", "hardtanh_", "index", "index_put_", "index_select", "instance_norm", "layer_norm", "le",
    "leaky_relu", "leaky_relu_", "lift_fresh", "linspace", "log", "log1p", "log2", "log_softmax", "logical_and",
    "logical_not", "lt", "mT", "masked_fill", "masked_fill_", "max", "max_pool1d", "max_pool1d_with_indices",
    "max_pool2d", "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices", "mean", "min", "mish", "mish_",
    "moveaxis", "movedim", "mul", "mul_", "narrow", "ne", "neg", "new_empty", "new_full", "new_zeros", "nonzero",
    "numpy_T", "one_hot", "ones", "ones_like", "pad", "permute", "pixel_shuffle", "pow", "prelu", "rand", "reciprocal",
    "relu", "relu6", "relu6_", "relu_", "remainder", "repeat", "repeat_interleave", "reshape", "result_type",
    "rms_norm", "roll", "rsqrt", "rsub", "scatter", "select", "sigmoid", "sigmoid_", "sign", "silu", "silu_", "sin",
    "size", "slice", "softmax", "softplus", "split", "split_with_sizes", "sqrt", "square", "squeeze", "squeeze_",
    "stack", "std", "sub", "sub_", "sum", "swapaxes", "swapdims", "t", "tanh", "tanh_", "tensor_split", "to",
    "transpose", "tril", "triu", "true_divide", "type_as", "unbind", "unflatten", "unfold", "unsqueeze", "unsqueeze_",
    "upsample_bicubic2d", "upsample_bilinear2d", "upsample_linear1d", "upsample_nearest1d", "upsample_nearest2d",
    "upsample_nearest3d", "upsample_trilinear3d", "var", "view", "where", "zeros", "zeros_like",
)
# fmt: on
ZERO_OPS = frozenset(f"aten::{name}" for name in _ZERO_NAMES)


class _RecordedConvolutions(TorchFunctionMode):
    """Replaces convolutions by the operator that the tracer records: it cannot trace conv3d on the meta device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return RECORDED.get(func, func)(*args, **(kwargs or {}))


def _with_calls(op: str, handle: Handle) -> Callable[[Sequence[Any], Sequence[Any]], Counter[tuple[str, str, str]]]:
    """Wrap a handle: counts are keyed by the operator, and calls are counted too."""

    def counted(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[tuple[str, str, str]]:
        ((kind, macs),) = handle(inputs, outputs).items()
        return Counter({(op, kind, "macs"): macs, (op, kind, "calls"): 1})

    return counted


def count_macs(module: nn.Module, *inputs: torch.Tensor) -> Ledger:
    """Trace a module (on the meta device: no memory) and count its multiply-accumulates.

    The module is in eval mode during the trace, since training-only operators are not part of inference.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore warns about a deprecated torch call on import and on trace
        from fvcore.nn.jit_analysis import JitModelAnalysis

        was_training = module.training
        analysis = JitModelAnalysis(module.eval(), inputs)
        analysis.set_op_handle(**{op: _with_calls(op, handle) for op, handle in HANDLES.items()})
        analysis._ignored_ops = set()  # its own list would keep some operators out of the ledger
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
        try:
            with _RecordedConvolutions():
                counted = analysis.by_module_and_operator()
            modules = {name: _rows(counted[name], analysis.unsupported_ops(name)) for name in counted}
        finally:
            module.train(was_training)
    return Ledger(modules)


def _rows(counted: Mapping[Any, Any], others: Mapping[str, int]) -> tuple[OpCount, ...]:
    """Return the operators of one module, including its submodules: counted, zero, uncounted."""
    rows = [
        OpCount(op, kind, int(counted[op, kind, "calls"]), int(number))
        for (op, kind, what), number in counted.items()
        if what == "macs"
    ]
    for op, calls in sorted(others.items()):
        rows.append(OpCount(op, "zero", calls, 0) if op in ZERO_OPS else OpCount(op, "uncounted", calls, None))
    return tuple(rows)
