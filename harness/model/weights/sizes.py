"""Compares the sizes that follow from the shapes of a file with those of a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

from harness.model.video_transformer import VideoTransformer

_LAYER = re.compile(r"encoder\.blocks\.(\d+)\..*")
_FC1 = "encoder.blocks.0.mlp.fc1.weight"


def size_differences(model: VideoTransformer, tensors: Mapping[str, Tensor], num_heads: int | None) -> list[str]:
    """Return the differences, as 'embed_dim 768 in the file, 48 in the model'; `tensors` are under our names."""
    theirs = dict(_file_sizes(tensors))
    if num_heads is not None:
        theirs["num_heads"] = num_heads
    ours = _model_sizes(model)
    tubelet = theirs.get("tubelet_size", 1)
    if tubelet == 1:  # image patches are inflated
        ours.pop("tubelet_size")
    return [
        f"{name} {size} in the file, {ours[name]} in the model"
        for name, size in theirs.items()
        if ours.get(name, size) != size
    ]


def _file_sizes(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, int]]:
    layers = {int(match[1]) for name in tensors if (match := _LAYER.fullmatch(name))}
    if layers:
        yield "depth", max(layers) + 1
    kernel = tensors.get("embed.proj.weight")
    if kernel is not None and kernel.ndim in (4, 5):
        yield "embed_dim", kernel.shape[0]
        yield "colour channels", kernel.shape[1]
        yield "patch_size", kernel.shape[-1]
        yield "tubelet_size", kernel.shape[2] if kernel.ndim == 5 else 1
    if _FC1 in tensors and tensors[_FC1].ndim:
        yield "hidden width of the MLP", tensors[_FC1].shape[0]


def _model_sizes(model: VideoTransformer) -> dict[str, int]:
    trunk, kernel = model.variant.trunk, model.embed.proj.weight
    return {
        "depth": trunk.depth,
        "embed_dim": trunk.embed_dim,
        "colour channels": kernel.shape[1],
        "patch_size": kernel.shape[-1],
        "tubelet_size": kernel.shape[2] if kernel.ndim == 5 else 1,
        "hidden width of the MLP": trunk.mlp_dim,
        "num_heads": trunk.num_heads,
    }
