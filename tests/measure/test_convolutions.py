"""Convolutions of every kind are counted as their definition says, also where the padding is a word."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import harness

KINDS = [(axes, is_transposed) for axes in (1, 2, 3) for is_transposed in (False, True)]
#: kernel, stride, padding, dilation, groups, bias
SETTINGS = [
    (3, 1, "same", 1, 1, True),
    (4, 1, "same", 1, 2, False),  # one place more of padding at the end
    (4, 1, "same", 2, 1, True),
    (2, 1, "same", 3, 1, True),
    (3, 2, "valid", 2, 2, True),
    (1, 1, "valid", 1, 1, False),
    (3, 2, 1, 1, 1, True),
    (4, 3, 0, 2, 2, False),
]


def by_definition(module: Any, given: Tensor) -> int:
    """Count one product for each output channel, input channel of its group, place of the kernel, and place where it lies."""
    is_transposed = "Transpose" in type(module).__name__
    places = given if is_transposed else module(given)
    of_place = module.in_channels * module.out_channels // module.groups * prod(module.kernel_size)
    return int(places.shape[0] * prod(places.shape[2:]) * of_place)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(("kind", "setting"), list(product(KINDS, SETTINGS)))
def test_modules(kind: tuple[int, bool], setting: tuple[int, int, Any, int, int, bool]) -> None:
    (axes, is_transposed), (kernel, stride, padding, dilation, groups, bias) = kind, setting
    if is_transposed and isinstance(padding, str):
        return
    made = getattr(nn, f"Conv{'Transpose' * is_transposed}{axes}d")
    module = made(4, 6, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=bias)
    shape = (2, 4, 11, 10, 9)[: axes + 2]
    cost = harness.count_module(module, [shape]).cost
    assert cost.macs.macs_per_view == by_definition(module, torch.zeros(shape))
    assert (cost.macs.status, cost.device) == ("exact", "meta")


class Calls(nn.Module):
    """Calls a function with its input and a weight."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.zeros(6, 4, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.weight)


OF_KERNEL = 6 * 4 * 9
#: call -> its multiply-accumulates for 2 images of 9 x 9
CALLS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "by keywords": (lambda x, w: F.conv2d(input=x, weight=w, padding="same"), 2 * 81 * OF_KERNEL),
    "one size for all axes": (lambda x, w: torch.conv2d(x, w, None, (2,), (1,)), 2 * 25 * OF_KERNEL),
    "without a batch": (lambda x, w: torch.conv2d(x[0], w), 49 * OF_KERNEL),
    "transposed, without a batch": (lambda x, w: torch.conv_transpose2d(x[0], w.transpose(0, 1)), 81 * OF_KERNEL),
    "output padding": (
        lambda x, w: torch.conv_transpose2d(x, w.transpose(0, 1), stride=2, output_padding=1), 2 * 81 * OF_KERNEL,
    ),
    "general": (
        lambda x, w: torch.convolution(x, w, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1), 2 * 49 * OF_KERNEL,
    ),
    "operator with numbers": (lambda x, w: torch.ops.aten.conv2d(x, w), 2 * 49 * OF_KERNEL),
    "operator with a word": (
        lambda x, w: torch.ops.aten.conv2d.padding(x, w, None, [1, 1], "valid"), 2 * 49 * OF_KERNEL,
    ),
    "padding by mode": (lambda x, w: torch._convolution_mode(x, w, None, [1, 1], "same", [1, 1], 1), 2 * 81 * OF_KERNEL),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str) -> None:
    function, macs = CALLS[name]
    found = harness.count_module(Calls(function), [(2, 4, 9, 9)], backward=True).cost.macs
    assert (found.macs_per_view, found.status) == (macs, "exact")
    assert found.backward is not None
    assert found.backward.status == "exact"


def test_recorded_calls_compute_the_same() -> None:
    """Compares the calls that the tracer records with those that they replace."""
    from harness.measure.count.convolution import RECORDED

    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 4, 7, 6), torch.randn(6, 4, 4, 2), torch.randn(6)
    for padding in ("same", "valid", 1):
        want = F.conv2d(x, weight, bias, padding=padding)
        assert torch.allclose(RECORDED[torch.conv2d](x, weight, bias, padding=padding), want, atol=1e-5)
    turned = weight.transpose(0, 1)
    want = torch.conv_transpose2d(x, turned, bias, stride=3, output_padding=2)
    got = RECORDED[torch.conv_transpose2d](x, turned, bias, stride=3, output_padding=2)
    assert torch.allclose(got, want, atol=1e-5)
