"""ViViT's four models and its tubelet initialisation against the scenic code: same weights and clip, same logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harness.model.inflation import inflate_average, inflate_central_frame, tile_positions
from harness.model.video_transformer import VideoTransformer
from harness.nn.config import ModelConfig
from harness.sweep.schema import ClassTokenReadout, MeanFramesReadout, MeanTokensReadout, ReadoutConfig
from tests.golden.official import DTYPES, TOLERANCE, Golden, difference, load, logits, renamed, video_transformer

VARIANTS = {
    "vivit_m1_spacetime": "joint",
    "vivit_m2_factorised_encoder": "factorised_encoder",
    "vivit_m3_factorised_self_attention": "factorised_self_attention",
    "vivit_m4_factorised_dot_product": "factorised_dot_product",
}
NORM = {"0": "norm1", "space": "norm1", "time": "temporal_norm1", "1": "norm2", "mlp": "norm2"}
#: for the keys that `torch_layout` returns
RULES = [
    *((rf"(.*)encoderblock_(\d+)\.LayerNorm_{theirs}\.(.*)", rf"\1\2.{ours}.\3") for theirs, ours in NORM.items()),
    (r"(.*)encoderblock_(\d+)\.MlpBlock(?:_0)?\.Dense_0\.(.*)", r"\1\2.mlp.fc1.\3"),
    (r"(.*)encoderblock_(\d+)\.MlpBlock(?:_0)?\.Dense_1\.(.*)", r"\1\2.mlp.fc2.\3"),
    (r"(.*)encoderblock_(\d+)\.MultiHeadDotProductAttention_(?:0|space)\.(.*)", r"\1\2.attn.\3"),
    (r"(.*)encoderblock_(\d+)\.MultiHeadDotProductAttention_time\.(.*)", r"\1\2.temporal_attn.\3"),
    (r"(.*)", r"\1"),
]
OWNERS = [
    (r"embedding\.(.*)", r"embed.proj.\1"),
    (r"(?:cls|cls_SpatialTransformer)", "embed.cls_token"),
    (r"cls_TemporalTransformer", "encoder.temporal_token"),
    (r"Transformer\.posembed_input\.pos_embedding", "embed.joint_embed"),
    (r"SpatialTransformer\.posembed_input\.pos_embedding", "embed.pos_embed"),
    (r"TemporalTransformer\.posembed_input\.pos_embedding", "encoder.temporal_positions"),
    (r"SpatialTransformer\.encoder_norm\.(.*)", r"encoder.norm.\1"),
    (r"(?:Temporal)?Transformer\.encoder_norm\.(.*)", r"readout.norm.\1"),
    (r"TemporalTransformer\.(\d.*)", r"encoder.temporal_blocks.\1"),
    (r"(?:Spatial)?Transformer\.(\d.*)", r"encoder.blocks.\1"),
    (r"output_projection\.(.*)", r"heads.label.\1"),
]


def torch_layout(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert flax parameters to the layout of torch: weights (out, in), kernels (out, in, ...), one qkv."""
    ours: dict[str, Tensor] = {}
    for key, value in state.items():
        owner, _, leaf = key.rpartition(".")
        last = owner.rpartition(".")[2]
        if last in ("query", "key", "value"):
            width = value.shape[0] if leaf == "kernel" else -1
            value = value.reshape(width, -1).T if leaf == "kernel" else value.flatten()
        elif last == "out" and leaf == "kernel":
            value = value.flatten(0, 1).T
        elif leaf == "kernel":
            value = value.permute(4, 3, 0, 1, 2) if value.ndim == 5 else value.T
        name = {"kernel": "weight", "scale": "weight"}.get(leaf, leaf)
        ours[f"{owner}.{name}" if owner else name] = value
    return joined(ours)


def joined(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join queries, keys and values in one `qkv`; `out` is our `proj`."""
    ours: dict[str, Tensor] = {}
    for key, value in state.items():
        if ".query." in key:
            parts = [state[key.replace(".query.", f".{part}.")] for part in ("query", "key", "value")]
            ours[key.replace(".query.", ".qkv.")] = torch.cat(parts)
        elif ".key." not in key and ".value." not in key:
            ours[key.replace(".out.", ".proj.")] = value
    return ours


def build(name: str, golden: Golden, **changed: object) -> VideoTransformer:
    """Build our model of the configuration in the file, except for the `changed` fields of the trunk."""
    config, variant = golden.config, dict[str, Any](name=VARIANTS[name])
    (frames, crop, _), (patch, _, tubelet) = config["input_thw"], config["patch_hwt"]
    separate = variant["name"] == "factorised_encoder"
    fields: dict[str, Any] = {
        "embed_dim": config["hidden_size"],
        "depth": config["num_layers"],
        "num_heads": config["num_heads"],
        "mlp_ratio": config["mlp_dim"] / config["hidden_size"],
        "gelu": "tanh",
        "num_frames": frames,
        "crop_size": crop,
        "patch_size": patch,
        "tubelet_size": tubelet,
        "temporal_position": "none",
        "spatial_position": "learned" if separate else "none",
        "joint_position": "none" if separate else "learned",
        **changed,
    }
    state = renamed(renamed(torch_layout(golden.state), RULES), OWNERS)
    readout: ReadoutConfig = ClassTokenReadout(name="class_token")
    if config["classifier"] == "gap":
        readout = MeanFramesReadout(name="mean_frames") if separate else MeanTokensReadout(name="mean_tokens")
    return video_transformer(ModelConfig(**fields), variant | knobs(config), readout, config["num_classes"], state)


def knobs(config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of our variant for the official configuration."""
    if "temporal_num_layers" in config:
        ratio = config["temporal_mlp_dim"] / config["hidden_size"]
        layers, heads = config["temporal_num_layers"], config["temporal_num_heads"]
        found = {"temporal_layers": layers, "temporal_heads": heads, "temporal_mlp_ratio": ratio}
        return found | ({"frame_feature": "mean", "clip_feature": "mean"} if config["classifier"] == "gap" else {})
    return {"order": config["attention_order"]} if "attention_order" in config else {}


def clip(golden: Golden) -> Tensor:
    """Return the input (B, T, H, W, C) as (B, C, T, H, W)."""
    return golden.values["input"].permute(0, 4, 1, 2, 3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VARIANTS)
def test_logits_equal_the_official_ones(name: str, dtype: torch.dtype) -> None:
    golden = load(name)
    got = logits(build(name, golden), clip(golden), dtype)
    assert difference(got, golden.values["logits64"]) <= TOLERANCE[dtype]


@pytest.mark.parametrize("changed", [{"norm_eps": 1e-5}, {"gelu": "erf"}])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_wrong_norm_or_activation_changes_the_output(name: str, changed: dict[str, object]) -> None:
    golden = load(name)
    got = logits(build(name, golden, **changed), clip(golden))
    assert difference(got, golden.values["logits64"]) > 1e-6


@pytest.mark.parametrize("tubelet_size", [2, 3, 4])
@pytest.mark.parametrize(("method", "inflate"), [("central", inflate_central_frame), ("average", inflate_average)])
def test_inflated_kernels_equal_the_official_ones(method: str, inflate: Any, tubelet_size: int) -> None:
    values = load("vivit_tubelet_init").values
    got = inflate(values["input.kernel2d"].permute(3, 2, 0, 1), tubelet_size)
    want = values[f"output.{method}.t{tubelet_size}.kernel"].permute(4, 3, 0, 1, 2)
    assert difference(got, want) <= TOLERANCE[torch.float64]


@pytest.mark.parametrize("num_frames", [2, 3, 4])
def test_tiled_positions_equal_the_official_ones(num_frames: int) -> None:
    values = load("vivit_tubelet_init").values
    positions = values["input.pos2d"].unsqueeze(0)
    want = values[f"output.pos_tiled.t{num_frames}"]
    assert difference(tile_positions(positions, num_frames, num_class=0), want) == 0
    cls = torch.full_like(positions[:, :1], 7.0)
    with_class = tile_positions(torch.cat([cls, positions], dim=1), num_frames, num_class=1)
    assert difference(with_class, torch.cat([cls, want], dim=1)) == 0


def test_averaged_kernels_embed_equal_frames_as_the_image() -> None:
    kernel = torch.randn(5, 3, 4, 4, dtype=torch.float64)
    patch = torch.randn(3, 4, 4, dtype=torch.float64)
    still = patch.unsqueeze(1).repeat(1, 3, 1, 1)
    got = torch.einsum("dcthw,cthw->d", inflate_average(kernel, 3), still)
    assert difference(got, torch.einsum("dchw,chw->d", kernel, patch)) <= 1e-12
