"""Compares our models with small random models of Hugging Face transformers, after an import of their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.model.video_transformer import VideoTransformer, make_variant
from harness.model.weights.apply import import_weights
from harness.model.weights.report import ImportReport
from harness.nn.config import ModelConfig
from harness.sweep.schema import ReadoutConfig, WeightsConfig

DTYPES = [torch.float64, torch.float32]
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}
NUM_CLASSES = 5
#: an odd number of heads and unequal sizes, so that swapped axes change a shape or a value
SIZES: dict[str, Any] = {
    "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 96,
    "num_labels": NUM_CLASSES,
}  # fmt: skip
OURS: dict[str, Any] = {"embed_dim": 48, "depth": 3, "num_heads": 3, "mlp_ratio": 2.0}


def perturbed(model: nn.Module, seed: int = 0) -> nn.Module:
    """Converts the oracle to float64 and eval mode and perturbs every parameter; all values are exact in float32."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            scale = parameter[0].numel() ** -0.5 if parameter.ndim == 2 else 0.2
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * scale
            parameter.copy_((parameter + noise).float())
    return model


def clip(model: ModelConfig, batch: int = 2) -> Tensor:
    """Returns random normalised clips (B, T, C, H, W) in float64."""
    generator = torch.Generator().manual_seed(1)
    shape = (batch, model.num_frames, 3, model.crop_size, model.crop_size)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def imported(
    oracle: nn.Module, folder: Path, model: ModelConfig, variant: dict[str, Any], readout: ReadoutConfig
) -> tuple[VideoTransformer, ImportReport]:
    """Builds our model in float64 and imports the oracle's weights from a file."""
    file = folder / "model.safetensors"
    save_file({name: value.contiguous() for name, value in oracle.state_dict().items()}, file)
    ours = VideoTransformer(model, make_variant(variant, model), readout, {"label": NUM_CLASSES}).double().eval()
    return ours, import_weights(ours, model, WeightsConfig(file=str(file), classifier="keep"))


def difference(ours: VideoTransformer, x: Tensor, expected: Tensor, dtype: torch.dtype) -> float:
    """Returns the largest difference between our logits, computed in `dtype`, and the oracle's in float64."""
    with torch.no_grad():
        got = ours.to(dtype).logits(x.to(dtype))["label"]
    assert got.shape == expected.shape
    return float((got.double() - expected).abs().max())
