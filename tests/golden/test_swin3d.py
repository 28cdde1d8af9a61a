"""One block of windowed attention against the Video Swin code, shifted and not, with and without padding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from harness.api import Tokens, TrunkGeometry
from harness.registry import load_variant
from tests.golden.official import DTYPES, TOLERANCE, Golden, difference, load, loaded, renamed

FILES = ["swin3d_block", "swin3d_block_pad"]
LAYER = {"noshift": 0, "shift": 1}
RULES = [(r"attn\.relative_position_index", None), (r"(.*)", r"\1")]


def run(golden: Golden, layer: int, dtype: torch.dtype, knobs: dict[str, object], **changed: object) -> Tensor:
    """Return the output (B, T, H, W, D) of our block of layer 0 (not shifted) or 1 (shifted)."""
    config = golden.config
    frames, height, width = config["thw"]
    sizes = {"embed_dim": config["dim"], "depth": 2, "num_heads": config["num_heads"], "norm_eps": 1e-5}
    sizes |= {"num_frames": frames, "height": height, "width": width, "mlp_ratio": config["mlp_ratio"], **changed}
    variant_class = load_variant("window3d")
    fields = {"window": config["window_size"], **knobs}
    variant = variant_class(variant_class.Config(**fields), TrunkGeometry(**sizes))
    block = loaded(variant.build_block(layer), renamed(golden.state, RULES)).to(dtype)
    with torch.no_grad():
        return block(Tokens(golden.values["input"].to(dtype))).patches.double()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shift", LAYER)
@pytest.mark.parametrize("name", FILES)
def test_block_equals_the_official_one(name: str, shift: str, dtype: torch.dtype) -> None:
    golden = load(name)
    got = run(golden, LAYER[shift], dtype, {})
    assert difference(got, golden.values[f"output64.{shift}"]) <= TOLERANCE[dtype]


@pytest.mark.parametrize("changed", [{"norm_eps": 1e-6}, {"gelu": "tanh"}])
@pytest.mark.parametrize("name", FILES)
def test_a_wrong_norm_or_activation_changes_the_output(name: str, changed: dict[str, object]) -> None:
    golden = load(name)
    got = run(golden, 1, torch.float64, {}, **changed)
    assert difference(got, golden.values["output64.shift"]) > 1e-6


@pytest.mark.parametrize("name", FILES)
def test_the_shift_changes_the_output(name: str) -> None:
    golden = load(name)
    got = run(golden, 1, torch.float64, {"shifted": False})
    assert difference(got, golden.values["output64.noshift"]) <= TOLERANCE[torch.float64]
    assert difference(got, golden.values["output64.shift"]) > 0.1
