"""Readouts against plain formulas; their multiply-accumulates against two counters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harness.measure.count.macs import count_model
from harness.model.readout import ConcatMlp, Gru, build_readout
from harness.model.video_transformer import VideoTransformer, make_variant
from harness.nn.config import ModelConfig
from harness.nn.geometry import TrunkGeometry
from harness.nn.tokens import Tokens
from harness.sweep.schema import (
    ClassTokenReadout,
    ConcatMlpReadout,
    GruReadout,
    MeanFramesReadout,
    MeanTokensReadout,
    ReadoutConfig,
    TemporalAttentionReadout,
)

MODEL = ModelConfig(embed_dim=12, depth=1, num_heads=2, num_frames=5, crop_size=8, patch_size=4)
TRUNK = TrunkGeometry.of(MODEL)
READOUTS: list[ReadoutConfig] = [
    ClassTokenReadout(name="class_token"),
    MeanFramesReadout(name="mean_frames"),
    MeanFramesReadout(name="mean_frames", norm="after"),
    MeanTokensReadout(name="mean_tokens"),
    TemporalAttentionReadout(name="temporal_attention"),
    TemporalAttentionReadout(name="temporal_attention", num_layers=2, positions=True, head="released", qkv_bias=True),
    ConcatMlpReadout(name="concat_mlp"),
    GruReadout(name="gru"),
]


def random_tokens(class_token: str) -> Tokens:
    """Return float64 tokens of two clips with a class token per frame, per clip, or none."""
    generator = torch.Generator().manual_seed(0)
    cls_shape = {"frame": (2, 5, 12), "clip": (2, 12)}.get(class_token)
    patches = torch.randn(2, 5, 2, 2, 12, generator=generator, dtype=torch.float64)
    cls = None if cls_shape is None else torch.randn(cls_shape, generator=generator, dtype=torch.float64)
    return Tokens(patches, cls)


def perturbed(config: ReadoutConfig) -> nn.Module:
    """Build the readout in float64, with perturbed parameters."""
    torch.manual_seed(0)
    readout = build_readout(config, TRUNK).double()
    with torch.no_grad():
        for parameter in readout.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return readout


def plain_features(norm: nn.LayerNorm, tokens: Tokens) -> Tensor:
    """Return one feature per frame, computed frame by frame."""
    features = []
    for frame in range(5):
        if tokens.class_token == "frame":
            assert tokens.cls is not None
            rows = tokens.cls[:, frame : frame + 1]
        else:
            rows = tokens.patches[:, frame].reshape(2, 4, 12)
        centred = rows - rows.mean(-1, keepdim=True)
        normed = centred / (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()
        features.append((normed * norm.weight + norm.bias).mean(1))
    return torch.stack(features, dim=1)


@pytest.mark.parametrize("class_token", ["frame", "clip", "none"])
def test_gru_equals_torch(class_token: str) -> None:
    readout, tokens = perturbed(GruReadout(name="gru")), random_tokens(class_token)
    assert isinstance(readout, Gru)
    oracle = nn.GRU(12, 12, batch_first=True).double()
    names = {"weight_ih_l0": readout.of_input.weight, "bias_ih_l0": readout.of_input.bias}
    names |= {"weight_hh_l0": readout.of_state.weight, "bias_hh_l0": readout.of_state.bias}
    oracle.load_state_dict(names)
    _, last = oracle(plain_features(readout.norm, tokens))
    got = readout(tokens)
    torch.testing.assert_close(got, last[0], rtol=0, atol=1e-12)
    weights = torch.autograd.grad(got.square().sum(), (readout.of_input.weight, readout.of_state.weight))
    wanted = torch.autograd.grad(last.square().sum(), [p for name, p in oracle.named_parameters() if "weight" in name])
    torch.testing.assert_close(weights, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("class_token", ["frame", "clip", "none"])
def test_concat_mlp_equals_a_sum_over_frames(class_token: str) -> None:
    readout, tokens = perturbed(ConcatMlpReadout(name="concat_mlp")), random_tokens(class_token)
    assert isinstance(readout, ConcatMlp)
    features, weight = plain_features(readout.norm, tokens), readout.hidden.weight
    hidden = readout.hidden.bias + sum(features[:, t] @ weight[:, 12 * t : 12 * (t + 1)].T for t in range(5))
    want = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    torch.testing.assert_close(readout(tokens), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["concat_mlp", "gru"])
def test_late_fusion_reads_the_order_of_frames(name: str) -> None:
    readout = perturbed(ConcatMlpReadout(name="concat_mlp") if name == "concat_mlp" else GruReadout(name="gru"))
    tokens = random_tokens("none")
    backwards = Tokens(tokens.patches.flip(1))
    assert bool(((readout(tokens) - readout(backwards)).abs().amax(-1) > 1e-3).all())


@pytest.mark.parametrize("config", READOUTS, ids=repr)
def test_multiply_accumulates_agree_three_ways(config: ReadoutConfig) -> None:
    variant = make_variant({"name": "joint" if config.name == "class_token" else "spatial_only"}, MODEL)
    count = count_model(lambda: VideoTransformer(MODEL, variant, config, {"label": 3}), (5, 3, 8, 8))
    assert count.status == "exact", count
