"""Small models, their configurations, and checkpoints of them in other layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.model.video_transformer import VideoTransformer, make_variant
from harness.model.weights.apply import import_weights
from harness.model.weights.report import ImportReport
from harness.nn.config import ModelConfig
from harness.sweep.schema import ClassTokenReadout, MeanFramesReadout, MeanTokensReadout, ReadoutConfig, WeightsConfig

SMALL: dict[str, Any] = {
    "embed_dim": 16, "depth": 2, "num_heads": 2, "num_frames": 4, "crop_size": 12, "patch_size": 4,
}  # fmt: skip


def build(
    variant: str | dict[str, Any] = "joint", num_classes: int = 5, **fields: Any
) -> tuple[VideoTransformer, ModelConfig]:
    """Build a float64 model with random weights; return it and its configuration."""
    config = ModelConfig(**(SMALL | fields))
    made = make_variant({"name": variant} if isinstance(variant, str) else variant, config)
    readouts: dict[str, ReadoutConfig] = {
        "clip": ClassTokenReadout(name="class_token"),
        "frame": MeanFramesReadout(name="mean_frames"),
        "none": MeanTokensReadout(name="mean_tokens"),
    }
    return VideoTransformer(config, made, readouts[made.class_token_out], {"label": num_classes}).double(), config


def load(
    model: tuple[VideoTransformer, ModelConfig], path: Path | str, **fields: Any
) -> tuple[VideoTransformer, ImportReport]:
    """Import a file; return the model and the report."""
    report = import_weights(*model, WeightsConfig(file=str(path), **fields))
    return model[0], report


def save(state: dict[str, Tensor], path: Path) -> Path:
    """Write a .safetensors file."""
    save_file({name: value.contiguous().clone() for name, value in state.items()}, path)
    return path


def image_vit(
    dim: int = 16, depth: int = 2, side: int = 3, patch: int = 4, classes: int = 7, seed: int = 0
) -> dict[str, Tensor]:
    """Return random float64 weights of an image ViT under timm's names."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, dim), "pos_embed": (1, 1 + side * side, dim),
        "patch_embed.proj.weight": (dim, 3, patch, patch),
        "patch_embed.proj.bias": (dim,), "norm.weight": (dim,), "norm.bias": (dim,), "head.weight": (classes, dim),
        "head.bias": (classes,),
    }  # fmt: skip
    block = {
        "norm1": (dim,), "attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim),
        "norm2": (dim,), "mlp.fc1": (4 * dim, dim), "mlp.fc2": (dim, 4 * dim),
    }  # fmt: skip
    for layer in range(depth):
        for name, shape in block.items():
            shapes[f"blocks.{layer}.{name}.weight"] = shape
            shapes[f"blocks.{layer}.{name}.bias"] = shape[:1]
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator, dtype=torch.float64) * 0.3 for name, shape in shapes.items()}


NORM = (("scale", "weight"), ("bias", "bias"))


def to_npz(state: dict[str, Tensor], num_heads: int) -> dict[str, Any]:
    """Return the same weights as arrays in the layout of the JAX ViT."""
    arrays: dict[str, Tensor] = {
        "cls": state["cls_token"],
        "Transformer/posembed_input/pos_embedding": state["pos_embed"],
        "embedding/kernel": state["patch_embed.proj.weight"].permute(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": state["head.weight"].T,
        "head/bias": state["head.bias"],
    }
    depth = sum(name.endswith("norm1.weight") for name in state)
    for layer in range(depth):
        ours, theirs = f"blocks.{layer}.", f"Transformer/encoderblock_{layer}/"
        dim = state[ours + "norm1.weight"].numel()
        for norm, name in (("norm1", "LayerNorm_0"), ("norm2", "LayerNorm_2")):
            arrays |= {f"{theirs}{name}/{x}": state[f"{ours}{norm}.{y}"] for x, y in NORM}
        for i, name in enumerate(("query", "key", "value")):
            part = slice(i * dim, (i + 1) * dim)
            attention = f"{theirs}MultiHeadDotProductAttention_1/{name}/"
            arrays[attention + "kernel"] = state[ours + "attn.qkv.weight"][part].T.reshape(dim, num_heads, -1)
            arrays[attention + "bias"] = state[ours + "attn.qkv.bias"][part].reshape(num_heads, -1)
        out = f"{theirs}MultiHeadDotProductAttention_1/out/"
        arrays[out + "kernel"] = state[ours + "attn.proj.weight"].T.reshape(num_heads, -1, dim)
        arrays[out + "bias"] = state[ours + "attn.proj.bias"]
        for i in (0, 1):
            arrays[f"{theirs}MlpBlock_3/Dense_{i}/kernel"] = state[f"{ours}mlp.fc{i + 1}.weight"].T
            arrays[f"{theirs}MlpBlock_3/Dense_{i}/bias"] = state[f"{ours}mlp.fc{i + 1}.bias"]
    return {name: value.contiguous().numpy() for name, value in arrays.items()}
