"""Counts against numbers computed by hand; an operator that cannot be counted leaves a mark."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.measure.count.fvcore_adapter import count_macs
from harness.measure.count.macs import count_model, flop_counter_macs
from harness.model.video_transformer import VideoTransformer, make_variant
from harness.nn.config import ModelConfig
from harness.sweep.schema import MeanFramesReadout


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function):  # type: ignore[no-untyped-def]
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def meta(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


@pytest.mark.parametrize(
    ("module", "inputs", "macs"),
    [
        (nn.Linear(5, 7, device="meta"), [meta(2, 3, 5)], 2 * 3 * 5 * 7),
        (Call(lambda a, b: a @ b), [meta(4, 1, 2, 3), meta(6, 3, 5)], 4 * 6 * 2 * 3 * 5),
        (Call(torch.bmm), [meta(4, 2, 3), meta(4, 3, 5)], 4 * 2 * 3 * 5),
        (Call(lambda a, b, c: torch.addmm(c, a, b)), [meta(2, 3), meta(3, 5), meta(5)], 2 * 3 * 5),
        (Call(lambda a, b, c: torch.baddbmm(c, a, b)), [meta(4, 2, 3), meta(4, 3, 5), meta(4, 2, 5)], 4 * 2 * 3 * 5),
        (nn.Conv2d(3, 8, 4, stride=4, device="meta"), [meta(2, 3, 16, 16)], 2 * 16 * 8 * 3 * 16),
        (nn.Conv3d(6, 6, 3, padding=1, groups=6, device="meta"), [meta(1, 6, 4, 5, 5)], 100 * 6 * 27),
        (
            nn.ConvTranspose2d(3, 8, 2, stride=2),
            [torch.zeros(1, 3, 4, 4)],
            16 * 3 * 8 * 4,
        ),  # torch cannot trace it on meta
        (Call(F.scaled_dot_product_attention), [meta(2, 4, 9, 8), meta(2, 4, 5, 8), meta(2, 4, 5, 6)], 8 * 9 * 5 * 14),
        (nn.Sequential(nn.LayerNorm(5, device="meta"), nn.GELU(), nn.Softmax(-1)), [meta(2, 5)], 0),
    ],
)
def test_hand_computed_counts(module: nn.Module, inputs: list[Tensor], macs: int) -> None:
    traced = count_macs(module, *inputs)
    assert traced.total == macs
    assert traced.uncounted_ops == {}
    assert flop_counter_macs(module, *inputs) == macs


def test_an_operator_with_unknown_cost_is_named() -> None:
    assert count_macs(Call(torch.cdist), meta(4, 3), meta(5, 3)).uncounted_ops == {"aten::cdist": 1}


def test_fused_attention_is_not_counted_as_zero() -> None:
    model = ModelConfig(size="B", patch_size=16, crop_size=224)
    variant = make_variant({"name": "joint"}, model)
    readout = MeanFramesReadout(name="mean_frames")
    count = count_model(lambda: VideoTransformer(model, variant, readout, {"label": 400}), (8, 3, 224, 224))
    assert count.status == "exact"
    assert count.attention_macs == 12 * 2 * 1569**2 * 768  # layers x two products x pairs x width


def test_mixing_costs_the_same_as_spatial_only() -> None:
    model, readout = ModelConfig(size="S", patch_size=16, crop_size=112), MeanFramesReadout(name="mean_frames")
    counts = []
    for config in (
        {"name": "spatial_only"},
        {"name": "mixing"},
        {"name": "mixing", "channel_layout": "concat", "temporal_window": 3},
    ):
        variant = make_variant(config, model)
        counts.append(
            count_model(lambda v=variant: VideoTransformer(model, v, readout, {"label": 5}), (8, 3, 112, 112))
        )  # type: ignore[misc]
    assert len({count.macs_per_view for count in counts}) == 1
    assert {count.status for count in counts} == {"exact"}


def test_a_wrong_closed_form_marks_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelConfig()
    variant = make_variant({"name": "joint"}, model)
    monkeypatch.setattr(type(variant), "block_macs", lambda self, layer: 1)
    readout = MeanFramesReadout(name="mean_frames")
    count = count_model(lambda: VideoTransformer(model, variant, readout, {"label": 4}), (8, 3, 16, 16))
    assert count.status == "disagrees"
