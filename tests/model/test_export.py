"""Whole models with every readout can be exported and traced with a free batch size."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from harness.model.video_transformer import VideoTransformer, make_variant
from harness.nn.config import ModelConfig
from harness.sweep.schema import ReadoutConfig

MODEL = ModelConfig(num_frames=4, crop_size=16, patch_size=4)
#: readout -> a variant whose tokens it reads
PAIRS = {
    "class_token": "factorised_encoder",
    "mean_frames": "spatial_only",
    "mean_tokens": "joint",
    "temporal_attention": "spatial_only",
    "concat_mlp": "spatial_only",
    "gru": "spatial_only",
}


def built(readout: str) -> VideoTransformer:
    config: Any = TypeAdapter(ReadoutConfig).validate_python({"name": readout})
    torch.manual_seed(0)
    return VideoTransformer(MODEL, make_variant({"name": PAIRS[readout]}, MODEL), config, {"label": 3}).eval()


def clips(batch: int) -> Tensor:
    return torch.randint(0, 256, (batch, 4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def same(got: nn.Module, model: nn.Module) -> bool:
    with torch.no_grad():
        return torch.allclose(got(clips(5))["label"], model(clips(5))["label"], atol=1e-5)


@pytest.mark.parametrize("readout", PAIRS)
def test_an_exported_model_takes_any_batch(readout: str) -> None:
    model = built(readout)
    free = {"clip": {0: torch.export.Dim("batch", min=1, max=64)}}
    assert same(torch.export.export(model, (clips(2),), dynamic_shapes=free).module(), model)


@pytest.mark.parametrize("readout", PAIRS)
def test_a_traced_model_takes_any_batch(readout: str) -> None:
    model = built(readout)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and warns of every fixed size
        traced = torch.jit.trace(model, clips(2), strict=False)
    assert same(traced, model)
