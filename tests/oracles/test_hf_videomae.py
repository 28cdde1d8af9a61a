"""Parity with VideoMAE of transformers: joint attention, no class token, q and v bias, sinusoids, mean before norm."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from harness.model.weights.apply import import_weights
from harness.nn.config import ModelConfig
from harness.sweep.schema import MeanTokensReadout, WeightsConfig
from tests.oracles.hugging_face import DTYPES, OURS, SIZES, TOLERANCE, clip, difference, imported, perturbed

transformers = pytest.importorskip("transformers")

MODEL = ModelConfig(
    num_frames=6, crop_size=24, patch_size=8, tubelet_size=2, joint_position="sincos", spatial_position="none",
    temporal_position="none", qkv_bias="qv", norm_eps=1e-12, final_norm_eps=1e-5, **OURS,
)  # fmt: skip
VARIANT = {"name": "joint", "class_token": "none"}
READOUT = MeanTokensReadout(name="mean_tokens", norm="after")


def oracle() -> nn.Module:
    config = transformers.VideoMAEConfig(image_size=24, patch_size=8, num_frames=6, tubelet_size=2, **SIZES)
    return perturbed(transformers.VideoMAEForVideoClassification(config))


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_logits(dtype: torch.dtype, tmp_path: Path) -> None:
    theirs = oracle()
    ours, report = imported(theirs, tmp_path, MODEL, VARIANT, READOUT)
    assert report.layout == "hf_videomae"
    assert [item.ours for item in report.initialised] == ["embed.joint_embed"]
    assert not any((report.ignored, report.resized, report.inflated))
    x = clip(MODEL)
    with torch.no_grad():
        expected = theirs(x).logits
    assert difference(ours, x, expected, dtype) <= TOLERANCE[dtype]


@pytest.mark.parametrize("changed", [{"final_norm_eps": None}, {"norm_eps": 1e-6}, {"gelu": "tanh"}])
def test_a_wrong_norm_or_activation_is_detected(changed: dict[str, object], tmp_path: Path) -> None:
    theirs = oracle()
    model = ModelConfig(**(MODEL.model_dump() | changed))
    ours, report = imported(theirs, tmp_path, model, VARIANT, READOUT)
    assert any(next(iter(changed)) in note for note in report.notes)
    x = clip(MODEL)
    with torch.no_grad():
        expected = theirs(x).logits
    assert difference(ours, x, expected, torch.float64) > 1e-8


def test_the_layout_before_version_5_gives_the_same_model(tmp_path: Path) -> None:
    ours, _ = imported(oracle(), tmp_path, MODEL, VARIANT, READOUT)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    for parameter in ours.parameters():
        if parameter.requires_grad:
            nn.init.zeros_(parameter)
    state = load_file(tmp_path / "model.safetensors")
    pattern = r"attention\.(query|value)\.bias"
    old = {re.sub(pattern, lambda match: f"attention.{match[1][0]}_bias", name): value for name, value in state.items()}
    save_file(old, tmp_path / "old.safetensors")
    import_weights(ours, MODEL, WeightsConfig(file=str(tmp_path / "old.safetensors"), classifier="keep"))
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_the_decoder_of_pre_training_is_left_out(tmp_path: Path) -> None:
    sizes = {key: value for key, value in SIZES.items() if key != "num_labels"}
    config = transformers.VideoMAEConfig(image_size=24, patch_size=8, num_frames=6, use_mean_pooling=False, **sizes)
    state = transformers.VideoMAEForPreTraining(config).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "pretraining.safetensors")
    ours, _ = imported(oracle(), tmp_path, MODEL, VARIANT, READOUT)
    report = import_weights(ours, MODEL, WeightsConfig(file=str(tmp_path / "pretraining.safetensors")))
    ignored = {item.theirs.split(".")[0] for item in report.ignored}
    assert ignored == {"mask_token", "encoder_to_decoder", "decoder"}
    assert {item.ours for item in report.initialised} == {"embed.joint_embed", "heads.label.weight", "heads.label.bias"}
