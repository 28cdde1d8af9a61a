"""Activation checkpointing changes neither results nor the weights that a copy of the model uses."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from harness.model.video_transformer import VideoTransformer, make_variant
from harness.nn.config import ModelConfig
from harness.registry import variant_names
from harness.sweep.schema import MeanTokensReadout

MODEL = ModelConfig(num_frames=8, crop_size=16, patch_size=4)


def built(name: str) -> VideoTransformer:
    torch.manual_seed(0)
    variant = make_variant({"name": name}, MODEL)
    return VideoTransformer(MODEL, variant, MeanTokensReadout(name="mean_tokens"), {"label": 3}).train()


def loss_and_gradients(model: nn.Module) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    clip = torch.randint(0, 256, (2, MODEL.num_frames, 3, 16, 16), dtype=torch.uint8, generator=generator)
    loss = model(clip)["label"].square().sum()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [loss.detach(), *(grad for grad in found if grad is not None)]


@pytest.mark.parametrize("name", variant_names())
def test_a_copy_computes_with_its_own_weights(name: str) -> None:
    model = built(name)
    model.checkpoint_activations()
    copied = copy.deepcopy(model)
    before = loss_and_gradients(copied)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.fill_(float("nan"))
    for a, b in zip(loss_and_gradients(copied), before, strict=True):
        assert torch.equal(a, b)
    assert not loss_and_gradients(model)[0].isfinite()


@pytest.mark.parametrize("name", ["joint", "pooled", "factorised_encoder"])
def test_checkpointing_changes_no_gradient_and_no_name(name: str) -> None:
    plain, model = built(name), built(name)
    model.checkpoint_activations()
    model.checkpoint_activations()  # a second call changes nothing
    assert list(model.state_dict()) == list(plain.state_dict())
    for a, b in zip(loss_and_gradients(model), loss_and_gradients(plain), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", variant_names())
def test_no_module_holds_a_bound_method(name: str) -> None:
    model = built(name)
    model.checkpoint_activations()
    held = [
        f"{path}.{key}"
        for path, module in model.named_modules()
        for key, value in vars(module).items()
        if hasattr(value, "__self__") or (callable(value) and hasattr(value, "__wrapped__"))
    ]
    assert held == []
