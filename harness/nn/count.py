"""Closed-form multiply-accumulates of the pieces that variants are built of.

Convention: matrix products and convolutions only, forward, one clip; no norm, softmax, activation, bias.
"""

from __future__ import annotations

from harness.nn.geometry import TrunkGeometry


def linear_macs(num_tokens: int, dim_in: int, dim_out: int) -> int:
    """A linear layer on `num_tokens` tokens."""
    return num_tokens * dim_in * dim_out


def attention_macs(num_pairs: int, dim: int) -> int:
    """The two matrix products of attention: `num_pairs` (query, key) pairs, all heads together `dim` wide."""
    return 2 * num_pairs * dim


def block_macs(trunk: TrunkGeometry, num_tokens: int, num_pairs: int) -> int:
    """A standard block: qkv, output projection and MLP on `num_tokens` tokens, attention over `num_pairs` pairs."""
    dim = trunk.embed_dim
    dense = linear_macs(num_tokens, dim, 4 * dim) + 2 * linear_macs(num_tokens, dim, trunk.mlp_dim)
    return dense + attention_macs(num_pairs, dim)


def frame_block_macs(trunk: TrunkGeometry, layer: int, tokens_per_frame: int) -> int:
    """A block of `FrameAttention`: frames see themselves, T R summaries and G registers; registers see everything."""
    registers = trunk.global_tokens.registers
    in_frames = trunk.num_frames * tokens_per_frame
    num_tokens = in_frames + registers
    keys = tokens_per_frame + trunk.num_frames * trunk.summaries(layer) + registers
    return block_macs(trunk, num_tokens, in_frames * keys + registers * num_tokens)
