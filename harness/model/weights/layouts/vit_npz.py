"""Image ViTs of the original JAX code (ImageNet-21k, augreg) as .npz: arrays in flax's layout."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from harness.model.weights.layout import PARTS, Rule, WeightsLayout

_BLOCK = r"Transformer/encoderblock_(\d+)/"
_ATTENTION = _BLOCK + "MultiHeadDotProductAttention_1/"
_OURS = r"encoder.blocks.\1."


def _norm(theirs: str, ours: str) -> tuple[Rule, Rule]:
    return Rule(f"{theirs}/scale", f"{ours}.weight"), Rule(f"{theirs}/bias", f"{ours}.bias")


def _dense(theirs: str, ours: str) -> tuple[Rule, Rule]:
    return Rule(f"{theirs}/kernel", f"{ours}.weight", transform=lambda x: x.t()), Rule(f"{theirs}/bias", f"{ours}.bias")


def _to_heads(kernel: Tensor) -> Tensor:
    """(D, h, c) -> (h c, D)."""
    return kernel.flatten(1).t()


def _from_heads(kernel: Tensor) -> Tensor:
    """(h, c, D) -> (D, h c)."""
    return kernel.flatten(0, 1).t()


def _query_key_value(part: str, name: str) -> tuple[Rule, Rule]:
    return (
        Rule(f"{_ATTENTION}{name}/kernel", f"{_OURS}attn.qkv.weight", part=part, transform=_to_heads),
        Rule(f"{_ATTENTION}{name}/bias", f"{_OURS}attn.qkv.bias", part=part, transform=lambda x: x.flatten()),
    )


def _num_heads(state: Mapping[str, Tensor]) -> int | None:
    kernel = state.get("Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel")
    return int(kernel.shape[1]) if kernel is not None and kernel.ndim == 3 else None


LAYOUT = WeightsLayout(
    name="vit_npz",
    summary="image ViT of the original JAX code",
    present=(r"Transformer/encoderblock_0/.*", r"embedding/kernel"),
    rules=(
        Rule("cls", "embed.cls_token"),
        Rule(r"Transformer/posembed_input/pos_embedding", "embed.pos_embed"),
        Rule("embedding/kernel", "embed.proj.weight", transform=lambda x: x.permute(3, 2, 0, 1)),
        Rule("embedding/bias", "embed.proj.bias"),
        *_norm(_BLOCK + "LayerNorm_0", _OURS + "norm1"),
        *_norm(_BLOCK + "LayerNorm_2", _OURS + "norm2"),
        *(
            rule
            for part, name in zip(PARTS, ("query", "key", "value"), strict=True)
            for rule in _query_key_value(part, name)
        ),
        Rule(_ATTENTION + "out/kernel", _OURS + "attn.proj.weight", transform=_from_heads),
        Rule(_ATTENTION + "out/bias", _OURS + "attn.proj.bias"),
        *_dense(_BLOCK + "MlpBlock_3/Dense_0", _OURS + "mlp.fc1"),
        *_dense(_BLOCK + "MlpBlock_3/Dense_1", _OURS + "mlp.fc2"),
        *_norm("Transformer/encoder_norm", "readout.norm"),
        *_dense("pre_logits", "pre_logits"),
        *_dense("head", "head"),
    ),
    spatial="bilinear_corners",
    expects={"norm_eps": 1e-6, "pixel_mean": [0.5, 0.5, 0.5], "pixel_std": [0.5, 0.5, 0.5]},
    num_heads=_num_heads,
)
