"""Parity with TimeSformer of transformers: divided, joint and space-only attention, with imported weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harness.nn.config import ModelConfig
from harness.sweep.schema import ClassTokenReadout, MeanFramesReadout, ReadoutConfig
from tests.oracles.hugging_face import DTYPES, OURS, SIZES, TOLERANCE, clip, difference, imported, perturbed

transformers = pytest.importorskip("transformers")

VARIANTS = {"divided_space_time": "divided", "joint_space_time": "joint", "space_only": "spatial_only"}


def oracle(attention: str) -> nn.Module:
    config = transformers.TimesformerConfig(
        image_size=24, patch_size=8, num_frames=4, attention_type=attention, drop_path_rate=0, **SIZES
    )
    return perturbed(transformers.TimesformerForVideoClassification(config))


def expected(model: nn.Module, x: Tensor, attention: str) -> Tensor:
    """Returns the logits of the oracle.

    Its space-only model does not average frames; as in the TimeSformer code, we average them before the norm.
    """
    with torch.no_grad():
        if attention != "space_only":
            return model(x).logits
        hidden = model(x, output_hidden_states=True).hidden_states[-1]
        frames = hidden.unflatten(0, (len(x), -1)).mean(1)
        return model.classifier(model.timesformer.layernorm(frames)[:, 0])  # type: ignore[union-attr, operator]


def configuration(attention: str) -> tuple[ModelConfig, ReadoutConfig]:
    spatial = attention == "space_only"
    model = ModelConfig(
        num_frames=4, crop_size=24, patch_size=8, temporal_position="none" if spatial else "learned", **OURS
    )
    readout: ReadoutConfig = MeanFramesReadout(name="mean_frames", norm="after")
    return model, readout if spatial else ClassTokenReadout(name="class_token")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("attention", VARIANTS)
def test_same_logits(attention: str, dtype: torch.dtype, tmp_path: Path) -> None:
    theirs = oracle(attention)
    model, readout = configuration(attention)
    ours, report = imported(theirs, tmp_path, model, {"name": VARIANTS[attention]}, readout)
    assert report.layout == "hf_timesformer"
    assert not any((report.initialised, report.ignored, report.resized, report.inflated))
    x = clip(model)
    assert difference(ours, x, expected(theirs, x, attention), dtype) <= TOLERANCE[dtype]
