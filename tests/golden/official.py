"""Reads outputs of official implementations from `data/`, and compares our models with them.

A file holds the official parameters (`state.<key>`), an input, and the logits or outputs that the official code gave
in float64; its metadata say which commit of which repository. The values are data; all code here is ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor, nn

from harness.model.video_transformer import VideoTransformer, make_variant
from harness.nn.config import ModelConfig
from harness.sweep.schema import ReadoutConfig

DATA = Path(__file__).parent / "data"
#: largest allowed difference of the logits; 1e-4 would hide a wrong GELU, and float32 hides a wrong norm eps
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}
DTYPES = [torch.float64, torch.float32]


class Golden(NamedTuple):
    """One file: parameters by official key, everything else by name, the configuration of the official model."""

    state: dict[str, Tensor]
    values: dict[str, Tensor]
    config: dict[str, Any]


def load(name: str) -> Golden:
    """Read `data/<name>.safetensors`; floating-point values are converted to float64, which is exact."""
    with safe_open(DATA / f"{name}.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        config = json.loads(file.metadata()["config"])
    tensors = {key: value.double() if value.is_floating_point() else value for key, value in tensors.items()}
    state = {key.removeprefix("state."): value for key, value in tensors.items() if key.startswith("state.")}
    return Golden(state, {key: value for key, value in tensors.items() if not key.startswith("state.")}, config)


def renamed(state: Mapping[str, Tensor], rules: Sequence[tuple[str, str | None]]) -> dict[str, Tensor]:
    """Rename parameters to our names: the first rule (pattern, replacement) that matches the whole key applies.

    A replacement of None drops a parameter that the official forward does not use. Raises: KeyError for a key that
    no rule names, so that nothing official is left out by accident.
    """
    ours = {}
    for key, value in state.items():
        for pattern, replacement in rules:
            match = re.fullmatch(pattern, key)
            if match:
                if replacement is not None:
                    ours[match.expand(replacement)] = value
                break
        else:
            raise KeyError(f"no rule for {key}")
    return ours


def loaded(module: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Load all parameters of a module, in its own shapes; return it in float64 and eval mode."""
    own = module.state_dict()
    reshaped = {key: value.reshape(own[key].shape) if key in own else value for key, value in state.items()}
    module.double().load_state_dict(reshaped)
    return module.eval()


def video_transformer(
    model: ModelConfig,
    variant: Mapping[str, Any],
    readout: ReadoutConfig,
    num_classes: int,
    state: Mapping[str, Tensor],
) -> VideoTransformer:
    """Build our whole model with one label, `label`, and these parameters."""
    built = VideoTransformer(model, make_variant(variant, model), readout, {"label": num_classes})
    loaded(built, state)
    return built


def logits(model: VideoTransformer, clip: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return float64 logits (B, classes) for an official clip (B, C, T, H, W), computed in `dtype`."""
    with torch.no_grad():
        return model.to(dtype).logits(clip.transpose(1, 2).to(dtype))["label"].double()


def difference(a: Tensor, b: Tensor) -> float:
    """Return the largest absolute difference."""
    assert a.shape == b.shape, f"{tuple(a.shape)} and {tuple(b.shape)}"
    return float((a - b).abs().max())
