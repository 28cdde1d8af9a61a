"""One block of pooling attention against the MViTv2 code, with and without a shrinking grid and a change of width."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.api import Tokens, TrunkGeometry
from harness.registry import load_variant
from tests.golden.official import DTYPES, TOLERANCE, Golden, difference, load, loaded, renamed

RULES = [
    *((rf"attn\.(pool|norm)_{name}\.(.*)", rf"attn.\1.{i}.\2") for i, name in enumerate("qkv")),
    *((rf"attn\.rel_pos_{name}", f"attn.rel_pos.{i}") for i, name in enumerate("thw")),
    (r"(.*)", r"\1"),
]
FILES = ["mvit2_block_qpool", "mvit2_block_same"]


def run(golden: Golden, dtype: torch.dtype, knobs: dict[str, Any], **changed: Any) -> Tensor:
    """Return the output row (B, 1 + T H W, D) of our block; `changed` fields of the trunk differ from the file."""
    config = golden.config
    frames, height, width = config["input_size"]
    trunk = {"embed_dim": config["dim"], "depth": 1, "num_heads": config["num_heads"], "mlp_ratio": config["mlp_ratio"]}
    trunk |= {"num_frames": frames, "height": height, "width": width, **changed}
    variant_class: Any = load_variant("pooled")
    fields = variant_class.Config(kv_stride=config["stride_kv"], **knobs)
    build = sys.modules[variant_class.__module__].PooledBlock
    block = build(TrunkGeometry(**trunk), 0, fields, (frames, height, width), config["stride_q"], config["dim_out"])
    x = golden.values["input"].to(dtype)
    state = renamed(golden.state, RULES)
    if knobs.get("relative_position") is False:
        state = {key: value for key, value in state.items() if "rel_pos" not in key}
    with torch.no_grad():
        tokens = Tokens(x[:, 1:].unflatten(1, (frames, height, width)), x[:, 0])
        out = loaded(block, state).to(dtype)(tokens)
    assert list(out.patches.shape[1:4]) == config["out_thw"]
    return torch.cat([out.cls.unsqueeze(1), out.patches.flatten(1, 3)], dim=1).double()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FILES)
def test_block_equals_the_official_one(name: str, dtype: torch.dtype) -> None:
    golden = load(name)
    assert difference(run(golden, dtype, {}), golden.values["output64"]) <= TOLERANCE[dtype]


@pytest.mark.parametrize("changed", [{"norm_eps": 1e-5}, {"gelu": "tanh"}])
@pytest.mark.parametrize("name", FILES)
def test_a_wrong_norm_or_activation_changes_the_output(name: str, changed: dict[str, Any]) -> None:
    golden = load(name)
    assert difference(run(golden, torch.float64, {}, **changed), golden.values["output64"]) > 1e-5


@pytest.mark.parametrize("knobs", [{"residual_pooling": False}, {"relative_position": False}])
@pytest.mark.parametrize("name", FILES)
def test_another_scheme_changes_the_output(name: str, knobs: dict[str, bool]) -> None:
    golden = load(name)
    assert difference(run(golden, torch.float64, knobs), golden.values["output64"]) > 0.1
