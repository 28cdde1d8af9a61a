"""ViViT's model 2 with averages instead of class tokens, which no golden file covers, against plain arithmetic.

The plain model uses the official parameters directly. With class tokens it equals the official logits, so that only the
averages rest on the definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from tests.golden.official import TOLERANCE, Golden, difference, load, logits
from tests.golden.test_vivit import build, clip

Array = np.ndarray[Any, Any]
Parameters = Mapping[str, Array]


def norm(p: Parameters, x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def below(p: Parameters, name: str) -> Parameters:
    return {key.removeprefix(f"{name}."): value for key, value in p.items() if key.startswith(f"{name}.")}


def attention(p: Parameters, x: Array) -> Array:
    q, k, v = (
        np.einsum("bni,ihc->bhnc", x, p[f"{name}.kernel"]) + p[f"{name}.bias"][:, None]
        for name in ("query", "key", "value")
    )
    weights = np.exp(np.einsum("bhnc,bhmc->bhnm", q, k) / np.sqrt(q.shape[-1]))
    weights = weights / weights.sum(-1, keepdims=True)
    read = np.einsum("bhnm,bhmc->bnhc", weights, v)
    return np.einsum("bnhc,hco->bno", read, p["out.kernel"]) + p["out.bias"]


def mlp(p: Parameters, x: Array) -> Array:
    x = x @ p["Dense_0.kernel"] + p["Dense_0.bias"]
    x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x @ p["Dense_1.kernel"] + p["Dense_1.bias"]


def encoder(p: Parameters, x: Array, cls: Array | None) -> Array:
    """Map rows (B, n, D) to one feature (B, D): the normed class token, or the mean of the normed tokens."""
    if cls is not None:
        x = np.concatenate([np.broadcast_to(cls, (len(x), 1, x.shape[-1])), x], axis=1)
    x = x + p["posembed_input.pos_embedding"]
    for layer in range(2):
        block = below(p, f"encoderblock_{layer}")
        x = x + attention(below(block, "MultiHeadDotProductAttention_0"), norm(below(block, "LayerNorm_0"), x))
        x = x + mlp(below(block, "MlpBlock_0"), norm(below(block, "LayerNorm_1"), x))
    x = norm(below(p, "encoder_norm"), x)
    return x.mean(1) if cls is None else x[:, 0]


def plain_logits(golden: Golden) -> Array:
    """Return the logits of the official input."""
    p = {key: value.numpy() for key, value in golden.state.items()}
    video, kernel = golden.values["input"].numpy(), p["embedding.kernel"]
    t, h, w = kernel.shape[:3]
    batch, frames, height, width, _ = video.shape
    tubelets = video.reshape(batch, frames // t, t, height // h, h, width // w, w, 3)
    x = np.einsum("btihjwkc,ijkcd->bthwd", tubelets, kernel) + p["embedding.bias"]
    rows = x.reshape(batch * (frames // t), -1, x.shape[-1])
    of_frames = encoder(below(p, "SpatialTransformer"), rows, p.get("cls_SpatialTransformer"))
    of_frames = of_frames.reshape(batch, frames // t, -1)
    y = encoder(below(p, "TemporalTransformer"), of_frames, p.get("cls_TemporalTransformer"))
    return np.asarray(y @ p["output_projection.kernel"] + p["output_projection.bias"])


def averaged() -> Golden:
    """Return the official parameters without class tokens and their positions."""
    golden = load("vivit_m2_factorised_encoder")
    state = {key: value for key, value in golden.state.items() if not key.startswith("cls_")}
    for name in ("SpatialTransformer", "TemporalTransformer"):
        key = f"{name}.posembed_input.pos_embedding"
        state[key] = state[key][:, 1:]
    return golden._replace(state=state, config=golden.config | {"classifier": "gap"})


def test_the_plain_model_is_the_official_one() -> None:
    golden = load("vivit_m2_factorised_encoder")
    assert difference(torch.from_numpy(plain_logits(golden)), golden.values["logits64"]) <= 1e-9


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_averaged_frames_equal_the_plain_model(dtype: torch.dtype) -> None:
    golden = averaged()
    got = logits(build("vivit_m2_factorised_encoder", golden), clip(golden), dtype)
    assert difference(got, torch.from_numpy(plain_logits(golden))) <= TOLERANCE[dtype]
