"""Peaks against known sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.measure.memory.tensors import StorageTracker, peak_bytes, process_peak_bytes

MIB = 2**20


def tensor(mib: int) -> torch.Tensor:
    return torch.ones(mib * MIB // 4)


def test_the_peak_is_what_is_alive_at_once() -> None:
    with StorageTracker() as tracker:
        a = tensor(4)
        b = a + 1
        del a
        c = b * 2
        del b
    assert tracker.peak_bytes == 8 * MIB
    assert tracker.live_bytes == 4 * MIB
    del c
    assert tracker.live_bytes == 0


def test_views_and_in_place_operations_take_no_memory() -> None:
    with StorageTracker() as tracker:
        a = tensor(2)
        a.add_(1)
        a.view(2, -1).t().unsqueeze(0)
    assert tracker.peak_bytes == 2 * MIB


def test_tensors_saved_by_autograd_count() -> None:
    with StorageTracker() as tracker:
        x = torch.ones(MIB // 4, requires_grad=True)
        y = x.sin().cos().sin()  # keeps sin(x) and cos(sin(x)) in addition to x and y
    assert tracker.live_bytes == 4 * MIB
    del y
    assert tracker.live_bytes == MIB


def test_parameters_and_large_temporaries_are_part_of_the_peak() -> None:
    class Hog(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tensor(64)
            return super().forward(x)

    plain, hog = nn.Linear(512, 512), Hog(512, 512)
    x = torch.ones(1, 512)
    small = peak_bytes(lambda: plain(x), plain)
    assert small == pytest.approx(4 * (512 * 512 + 512 + 512), rel=0.01)
    assert peak_bytes(lambda: hog(x), hog) == pytest.approx(small + 64 * MIB, rel=0.01)


def test_the_process_peak_is_at_least_what_was_just_allocated() -> None:
    hog = tensor(256)
    peak = process_peak_bytes()
    assert peak is None or peak > 256 * MIB
    del hog
