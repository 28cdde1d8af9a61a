"""MViTv2's block without class token, and with position tables of another length, against plain arithmetic.

No golden file covers these two forms. The plain block equals the official outputs of the golden files.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from harness.api import Tokens, TrunkGeometry
from harness.registry import load_variant
from tests.golden.official import TOLERANCE, Golden, difference, load, loaded, renamed
from tests.golden.test_mvit import FILES, RULES

Array = np.ndarray[Any, Any]
Parameters = Mapping[str, Array]


def norm(p: Parameters, name: str, x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
    return scaled * p[f"{name}.weight"] + p[f"{name}.bias"]


def linear(p: Parameters, name: str, x: Array) -> Array:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def windows(x: Array, stride: list[int], kernel: list[int], fill: float) -> Array:
    """Return the places of a grid (..., T, h, w, c) under each window: (*kernel, ..., pooled T, h, w, c)."""
    pads = [(0, 0)] * (x.ndim - 4) + [(k // 2, k // 2) for k in kernel] + [(0, 0)]
    padded = np.pad(x, pads, constant_values=fill)
    size = [(n + 2 * (k // 2) - k) // s + 1 for n, k, s in zip(x.shape[-4:-1], kernel, stride, strict=True)]
    found = np.empty((*kernel, *x.shape[:-4], *size, x.shape[-1]))
    for at in product(*map(range, kernel)):
        t, h, w = (slice(a, a + s * n, s) for a, s, n in zip(at, stride, size, strict=True))
        found[at] = padded[..., t, h, w, :][..., : size[0], : size[1], : size[2], :]
    return found


def resized(table: Array, length: int) -> Array:
    """Interpolate the rows of a table linearly, with align_corners False."""
    rows = []
    for i in range(length):
        place = min(max((i + 0.5) * len(table) / length - 0.5, 0), len(table) - 1)
        low = int(place)
        high = min(low + 1, len(table) - 1)
        rows.append(table[low] * (1 - (place - low)) + table[high] * (place - low))
    return np.stack(rows)


def positions(p: Parameters, q: Array, keys: tuple[int, ...]) -> Array:
    """Return the scores (B, H, queries, keys) of the three tables for pooled queries (B, H, T, h, w, c)."""
    queries, total = q.shape[2:5], np.zeros(())
    for axis, name in enumerate("thw"):
        n, m = queries[axis], keys[axis]
        table = resized(p[f"attn.rel_pos_{name}"], 2 * max(n, m) - 1)
        i, j = np.arange(n)[:, None], np.arange(m)[None]
        index = np.floor(i * max(m / n, 1) - j * max(n / m, 1) + (m - 1) * max(n / m, 1) + 1e-9).astype(int)
        along = np.einsum(f"bHthwc,{name}xc->bHthwx", q, table[index])
        shape = [1, 1, 1]
        shape[axis] = m
        total = total + along.reshape(*along.shape[:-1], *shape)
    return total.reshape(*q.shape[:2], int(np.prod(queries)), int(np.prod(keys)))


def plain_block(p: Parameters, x: Array, config: Mapping[str, Any], num_class: int) -> Array:
    """Return the output (B, [1 +] T h w, dim_out) for tokens (B, [1 +] T h w, dim)."""
    grid, heads, c = config["input_size"], config["num_heads"], num_class
    normed = norm(p, "norm1", x)
    pooled, sizes = [], []
    strides = [config["stride_q"], config["stride_kv"], config["stride_kv"]]
    for part, name, stride in zip(np.split(linear(p, "attn.qkv", normed), 3, -1), "qkv", strides, strict=True):
        z = part.reshape(*part.shape[:2], heads, -1).swapaxes(1, 2)
        volume = z[:, :, c:].reshape(*z.shape[:2], *grid, -1)
        weight = p[f"attn.pool_{name}.weight"][:, 0]
        found = np.einsum("xyz...c,cxyz->...c", windows(volume, stride, [3, 3, 3], 0), weight)
        sizes.append(found.shape[2:5])
        row = np.concatenate([z[:, :, :c], found.reshape(*z.shape[:2], -1, z.shape[-1])], axis=2)
        pooled.append(norm(p, f"attn.norm_{name}", row))
    q, k, v = pooled
    scores = q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5
    scores[:, :, c:, c:] += positions(p, q[:, :, c:].reshape(*q.shape[:2], *sizes[0], -1), sizes[1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    y = weights / weights.sum(-1, keepdims=True) @ v
    y[:, :, c:] += q[:, :, c:]
    y = linear(p, "attn.proj", y.swapaxes(1, 2).reshape(len(x), y.shape[2], -1))
    skip = linear(p, "proj", normed) if "proj.weight" in p else x
    kernel = [s + 1 if s > 1 else 1 for s in config["stride_q"]]
    volume = skip[:, c:].reshape(len(x), *grid, -1)
    patches = windows(volume, config["stride_q"], kernel, -np.inf).max((0, 1, 2))
    z = np.concatenate([skip[:, :c], patches.reshape(len(x), -1, skip.shape[-1])], axis=1) + y
    hidden = torch.nn.functional.gelu(torch.from_numpy(linear(p, "mlp.fc1", norm(p, "norm2", z)))).numpy()
    return np.asarray(z + linear(p, "mlp.fc2", hidden))


def plain(golden: Golden, num_class: int) -> torch.Tensor:
    p = {key: value.numpy() for key, value in golden.state.items()}
    x = golden.values["input"][:, 1 - num_class :].numpy()
    return torch.from_numpy(plain_block(p, x, golden.config, num_class))


def ours(golden: Golden, dtype: torch.dtype, **knobs: Any) -> torch.Tensor:
    config, (frames, height, width) = golden.config, golden.config["input_size"]
    trunk = TrunkGeometry(
        embed_dim=config["dim"], depth=1, num_heads=config["num_heads"], mlp_ratio=config["mlp_ratio"],
        num_frames=frames, height=height, width=width,
    )  # fmt: skip
    variant_class: Any = load_variant("pooled")
    fields = variant_class.Config(kv_stride=config["stride_kv"], **knobs)
    build = sys.modules[variant_class.__module__].PooledBlock
    block = build(trunk, 0, fields, (frames, height, width), config["stride_q"], config["dim_out"])
    x = golden.values["input"].to(dtype)
    tokens = Tokens(x[:, 1:].unflatten(1, (frames, height, width)), None if knobs.get("class_token") else x[:, 0])
    with torch.no_grad():
        out = loaded(block, renamed(golden.state, RULES)).to(dtype)(tokens)
    cls = [] if out.cls is None else [out.cls.unsqueeze(1)]
    return torch.cat([*cls, out.patches.flatten(1, 3)], dim=1).double()


def with_tables(golden: Golden, lengths: list[int]) -> Golden:
    """Replace the tables (time, height, width) by random ones of other lengths."""
    generator = torch.Generator().manual_seed(0)
    tables = {
        f"attn.rel_pos_{name}": torch.randn(length, golden.state["attn.rel_pos_t"].shape[1], generator=generator)
        for name, length in zip("thw", lengths, strict=True)
    }
    return golden._replace(state=golden.state | {name: table.double() for name, table in tables.items()})


@pytest.mark.parametrize("name", FILES)
def test_the_plain_block_is_the_official_one(name: str) -> None:
    golden = load(name)
    assert difference(plain(golden, num_class=1), golden.values["output64"]) <= 1e-9


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", FILES)
def test_a_block_without_class_token_equals_the_plain_one(name: str, dtype: torch.dtype) -> None:
    golden = load(name)
    assert difference(ours(golden, dtype, class_token="none"), plain(golden, num_class=0)) <= TOLERANCE[dtype]


@pytest.mark.parametrize("lengths", [[3, 13, 5], [9, 4, 11], [1, 2, 27]])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", FILES)
def test_tables_of_another_length_are_interpolated(name: str, dtype: torch.dtype, lengths: list[int]) -> None:
    golden = with_tables(load(name), lengths)
    got = ours(golden, dtype, relative_position_rows=lengths)
    assert difference(got, plain(golden, num_class=1)) <= 10 * TOLERANCE[dtype]
