"""Parity with ViViT model 1 of transformers: tubelets, joint positions, tanh GELU, with imported weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from harness.model.weights.apply import import_weights
from harness.nn.config import ModelConfig
from harness.sweep.schema import ClassTokenReadout, WeightsConfig
from tests.oracles.hugging_face import DTYPES, OURS, SIZES, TOLERANCE, clip, difference, imported, perturbed

transformers = pytest.importorskip("transformers")

MODEL = ModelConfig(
    num_frames=6, crop_size=24, patch_size=8, tubelet_size=2, joint_position="learned", spatial_position="none",
    temporal_position="none", gelu="tanh", **OURS,
)  # fmt: skip
READOUT = ClassTokenReadout(name="class_token")


def oracle() -> nn.Module:
    config = transformers.VivitConfig(image_size=24, num_frames=6, tubelet_size=[2, 8, 8], **SIZES)
    return perturbed(transformers.VivitForVideoClassification(config))


def before_version_5(name: str) -> str:
    """Converts a key of the current layout to the layout of checkpoints on the hub."""
    name = name.replace("vivit.layers.", "vivit.encoder.layer.")
    for new, old in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value")):
        name = name.replace(f"attention.{new}", f"attention.attention.{old}")
    name = name.replace("attention.o_proj", "attention.output.dense").replace("mlp.fc1", "intermediate.dense")
    return re.sub(r"(?<=\d\.)mlp\.fc2", "output.dense", name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_logits(dtype: torch.dtype, tmp_path: Path) -> None:
    theirs = oracle()
    ours, report = imported(theirs, tmp_path, MODEL, {"name": "joint"}, READOUT)
    assert report.layout == "hf_vivit"
    assert not any((report.initialised, report.ignored, report.resized, report.inflated))
    x = clip(MODEL)
    with torch.no_grad():
        expected = theirs(x).logits
    assert difference(ours, x, expected, dtype) <= TOLERANCE[dtype]


def test_the_layout_before_version_5_gives_the_same_model(tmp_path: Path) -> None:
    ours, _ = imported(oracle(), tmp_path, MODEL, {"name": "joint"}, READOUT)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    for parameter in ours.parameters():
        nn.init.zeros_(parameter)
    old = tmp_path / "old.safetensors"
    save_file({before_version_5(name): value for name, value in load_file(tmp_path / "model.safetensors").items()}, old)
    import_weights(ours, MODEL, WeightsConfig(file=str(old), classifier="keep"))
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())
