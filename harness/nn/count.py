"""Closed-form multiply-accumulates (MACs) of the parts of variants.

Convention: matrix products and convolutions only, forward, one clip; no norm, softmax, activation, bias.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.nn.geometry import TrunkGeometry
from harness.nn.layout import Layout


def linear_macs(num_tokens: int, dim_in: int, dim_out: int) -> int:
    """Count a linear layer on `num_tokens` tokens."""
    return num_tokens * dim_in * dim_out


def attention_macs(num_pairs: int, dim: int) -> int:
    """Count the two matrix products of attention over `num_pairs` (query, key) pairs, all heads `dim` wide."""
    return 2 * num_pairs * dim


def step_macs(trunk: TrunkGeometry, num_tokens: int, num_pairs: int, fc: str = "none") -> int:
    """Count an attention step: qkv, output projection and, unless `fc` is 'none', the linear layer that closes it."""
    dim = trunk.embed_dim
    return linear_macs(num_tokens, dim, (4 if fc == "none" else 5) * dim) + attention_macs(num_pairs, dim)


def mlp_macs(trunk: TrunkGeometry, num_tokens: int) -> int:
    """Count the MLP of a layer on `num_tokens` tokens."""
    return 2 * linear_macs(num_tokens, trunk.embed_dim, trunk.mlp_dim)


def block_macs(trunk: TrunkGeometry, num_tokens: int, num_pairs: int) -> int:
    """Count a standard block: qkv, output projection and MLP on `num_tokens` tokens, attention over pairs."""
    return step_macs(trunk, num_tokens, num_pairs) + mlp_macs(trunk, num_tokens)


def places_near(place: Tensor, reach: int, size: int) -> Tensor:
    """Count the places of an axis of `size` that lie at most `reach` from each given one; the ends cut the window."""
    return (place + reach).clamp(max=size - 1) - (place - reach).clamp(min=0) + 1


def patches_near(layout: Layout, rows: int, columns: int) -> Tensor:
    """Count the patches (n,), of all frames, at most that many rows and columns away from each patch."""
    in_column = places_near(layout.row, rows, layout.height)
    return layout.num_frames * in_column * places_near(layout.column, columns, layout.width)


def keys_in_frame(layout: Layout) -> Tensor:
    """Count the tokens that each token sees (n,) if frames see themselves and registers; registers see all."""
    patches_and_class = (layout.num_tokens - layout.num_registers) // layout.num_frames
    return torch.where(layout.is_register, layout.num_tokens, patches_and_class + layout.num_registers)


def frame_block_macs(trunk: TrunkGeometry, layer: int, tokens_per_frame: int, mixes_input: bool = False) -> int:
    """Count a block of `FrameAttention`: frames see themselves, T R summaries, G registers; registers see everything.

    With `mixes_input` what reads unmixed keys and values has them projected once more.
    """
    tokens, summaries = trunk.global_tokens, trunk.num_frames * trunk.summaries(layer)
    in_frames = trunk.num_frames * tokens_per_frame
    num_tokens = in_frames + tokens.registers
    keys = tokens_per_frame + summaries + tokens.registers
    unmixed = summaries * (not tokens.summary_mixed) + in_frames * (tokens.registers > 0) if mixes_input else 0
    block = block_macs(trunk, num_tokens, in_frames * keys + tokens.registers * num_tokens)
    return block + linear_macs(unmixed, trunk.embed_dim, 2 * trunk.embed_dim)


def divisors(number: int, step: int = 1) -> str:
    """Return the multiples of `step` that divide a number, as a message lists them."""
    return ", ".join(str(part) for part in range(step, number + 1, step) if number % part == 0)
