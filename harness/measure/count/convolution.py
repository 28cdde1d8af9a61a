"""Convolutions of a trace: their multiply-accumulates, and calls that the tracer can record on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

#: operators (input, weight, bias, stride, padding, dilation, transposed, ...)
GENERAL = ("_convolution", "convolution", "convolution_overrideable")
#: operators (input, weight, ...), padding as text or numbers
PLAIN = ("_convolution_mode", "conv1d", "conv2d", "conv3d", "slow_conv3d", "thnn_conv2d", "mkldnn_convolution",
         "cudnn_convolution", "miopen_convolution", "_conv_depthwise2d", "conv_depthwise3d", "slow_conv_dilated2d",
         "slow_conv_dilated3d")  # fmt: skip
TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cudnn_convolution_transpose",
              "miopen_convolution_transpose", "slow_conv_transpose2d", "slow_conv_transpose3d")  # fmt: skip


def convolution_macs(op: str, given: list[int], weight: list[int], out: list[int], is_transposed: bool = False) -> int:
    """Count a convolution from the shapes of its input, weight and output; `is_transposed`: argument of `GENERAL`.

    weight: (out, in / groups, *kernel); transposed (in, out / groups, *kernel); of conv_tbc (kernel, in, out).
    """
    if op == "conv_tbc":
        return out[0] * out[1] * prod(weight)
    places = given if is_transposed or op in TRANSPOSED else out
    batch = 1 if len(places) < len(weight) else places[0]
    return batch * prod(places[2 - len(weight) :]) * prod(weight)


def _general(
    x: Tensor, weight: Tensor, bias: Tensor | None, sizes: Sequence[Any], transposed: bool, extra: Any, groups: int
) -> Tensor:
    """Call the operator that the tracer records; `sizes`: stride, padding, dilation. A clip without batch gets one."""
    axes, alone = weight.ndim - 2, x.ndim == weight.ndim - 1
    flags = (False, False, False, False)  # benchmark, deterministic, cudnn_enabled, allow_tf32
    stride, padding, dilation, output_padding = (_each_axis(size, axes) for size in (*sizes, extra))
    x = x.unsqueeze(0) if alone else x
    y = torch._convolution(x, weight, bias, stride, padding, dilation, transposed, output_padding, groups, *flags)
    return y.squeeze(0) if alone else y


def _each_axis(size: Any, axes: int) -> list[int]:
    sizes = [size] if isinstance(size, int) else list(size)
    return sizes * axes if len(sizes) == 1 else sizes


def _plain(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    if padding == "valid":
        padding = 0
    elif padding == "same":
        kernel = zip(_each_axis(dilation, weight.ndim - 2), weight.shape[2:], strict=True)
        total = [step * (size - 1) for step, size in kernel]
        if any(size % 2 for size in total):  # one place more at the end
            input = F.pad(input, [end for size in reversed(total) for end in (0, size % 2)])
        padding = [size // 2 for size in total]
    return _general(input, weight, bias, (stride, padding, dilation), False, 0, groups)


def _transposed(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    return _general(input, weight, bias, (stride, padding, dilation), True, output_padding, groups)


def _convolution(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int,
) -> Tensor:  # fmt: skip
    return _general(input, weight, bias, (stride, padding, dilation), transposed, output_padding, groups)


#: function of torch -> the same by the operator that the tracer records: it cannot trace conv3d on the meta device
RECORDED: dict[Callable[..., Any], Callable[..., Tensor]] = {
    **dict.fromkeys((torch.conv1d, torch.conv2d, torch.conv3d, torch._convolution_mode), _plain),
    **dict.fromkeys((torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d), _transposed),
    torch.convolution: _convolution,
}
