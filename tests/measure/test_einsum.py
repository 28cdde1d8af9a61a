"""Einsums are counted exactly, pooling and dropout as zero: models and variants written with them are `exact`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.contract.cases import Case
from harness.contract.checks import check_macs, check_reference
from harness.measure.count.any_module import module_cost, parse_input
from harness.measure.count.einsum import einsum_cost
from harness.measure.count.fvcore_adapter import ZERO_OPS, count_macs
from harness.measure.count.macs import flop_counter_macs
from harness.registry import load_variant
from tests.measure.test_macs import Call, meta

#: equation, shapes, MACs by hand
EQUATIONS = [
    ("bnc,bmc->bnm", [(2, 3, 5), (2, 7, 5)], 2 * 3 * 7 * 5),
    ("b h i d , b h j d -> b h i j", [(2, 4, 3, 5), (2, 4, 7, 5)], 2 * 4 * 3 * 7 * 5),
    ("ythwc,hkc->ythwk", [(2, 3, 4, 5, 6), (4, 7, 6)], 2 * 3 * 4 * 5 * 7 * 6),  # MViT's relative positions
    ("...i,oi->...o", [(2, 3, 5), (7, 5)], 2 * 3 * 5 * 7),
    ("...nm,...mc->...nc", [(1, 4, 3, 5), (2, 1, 5, 6)], 2 * 4 * 3 * 5 * 6),  # axes of the ellipsis broadcast
    ("ij,jk", [(3, 5), (5, 7)], 3 * 5 * 7),  # the result is implicit
    ("...j,jk", [(2, 3, 5), (5, 7)], 2 * 3 * 5 * 7),
    ("ba,ca", [(3, 5), (7, 5)], 3 * 5 * 7),
    ("abc,abc->ac", [(2, 3, 5), (2, 3, 5)], 2 * 3 * 5),
    ("abc,abc->", [(2, 3, 5), (2, 3, 5)], 2 * 3 * 5),
    ("ij,jk->k", [(3, 5), (5, 7)], 5 * 7),  # i is summed before the product
    ("ij,ij->ij", [(3, 5), (3, 5)], 0),  # elementwise: no matrix product
    ("i,j->ij", [(3,), (5,)], 0),
    ("ij->ji", [(3, 5)], 0),
    ("iij,jk->ik", [(3, 3, 5), (5, 7)], 3 * 5 * 7),  # a diagonal
    ("ij,jk->ik", [(3, 1), (5, 7)], 0),  # an axis of length 1 is broadcast: nothing is contracted
    ("ij,jk,kl->il", [(3, 5), (5, 7), (7, 2)], 3 * 5 * 7 + 3 * 7 * 2),
    ("bid,bjd,bjc->bic", [(2, 3, 5), (2, 7, 5), (2, 7, 6)], 2 * 3 * 7 * 5 + 2 * 3 * 7 * 6),
]


@pytest.mark.parametrize(("equation", "shapes", "macs"), EQUATIONS, ids=[item[0] for item in EQUATIONS])
def test_an_einsum_counts_as_its_matrix_products(
    equation: str, shapes: list[tuple[int, ...]], macs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.opt_einsum, "enabled", False)
    module, inputs = Call(lambda *xs: torch.einsum(equation, *xs)), [meta(*shape) for shape in shapes]
    ledger = count_macs(module, *inputs)
    assert (ledger.total, ledger.uncounted_ops) == (macs, {})
    assert flop_counter_macs(module, *inputs) == macs


@pytest.mark.parametrize("path", [(0, 1, 0, 1, 0, 1), (1, 2, 1, 2, 0, 1), (0, 2, 0, 1, 0, 1), (2, 3, 0, 1, 0, 1)])
def test_a_contraction_path_is_followed(path: tuple[int, ...]) -> None:
    equation, shapes = "ab,bc,cd,de->ae", [(3, 50), (50, 7), (7, 20), (20, 2)]

    def contracted(*operands: Tensor) -> Tensor:
        return torch._VF.einsum(equation, operands, path=list(path))  # type: ignore[attr-defined]

    inputs = [meta(*shape) for shape in shapes]
    want = flop_counter_macs(Call(contracted), *inputs)
    assert einsum_cost(equation, shapes, path).macs == want
    assert count_macs(Call(contracted), *inputs).total == want


def test_a_projection_is_not_an_attention_product() -> None:
    def both(x: Tensor, weight: Tensor) -> Tensor:
        y = torch.einsum("bni,oi->bno", x, weight)
        return torch.einsum("bnc,bmc->bnm", y, y)

    ledger = count_macs(Call(both), meta(2, 3, 5), meta(7, 5))
    assert ledger.macs_by_kind == {"linear": 2 * 3 * 5 * 7, "matmul": 2 * 3 * 3 * 7}


class Published(nn.Module):
    """Uses the operators of torchvision's Swin3D and MViT in addition to linear layers and convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv3d(3, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ReLU6(inplace=True))
        self.drop, self.head = nn.Dropout(0.5, inplace=True), nn.Linear(6, 4)

    def forward(self, clip: Tensor) -> Tensor:
        x = F.dropout3d(F.max_pool3d(self.inner(clip), 2), 0.5, self.training, True)
        scores = torch.einsum("bcthw,bdthw->bcd", x, x).softmax(-1)
        x = torch.einsum("bcd,bdthw->bcthw", scores, x)
        return self.head(self.drop(F.adaptive_avg_pool3d(x, (2, 1, 1)).flatten(2).mean(-1)))


def test_a_model_of_such_operators_is_exact() -> None:
    cost = module_cost(f"{__name__}:Published", [parse_input("2x3x4x8x8")], backward=True)
    assert (cost.macs.status, cost.device, cost.macs.uncounted_ops) == ("exact", "meta", {})
    places = 2 * 2 * 4 * 4
    assert cost.macs.macs_per_view == 2 * 4 * 8 * 8 * 3 * 6 * 27 + 2 * places * 6 * 6 + 2 * 6 * 4
    assert cost.macs.backward is not None
    assert cost.macs.backward.status == "exact"


@pytest.mark.parametrize("name", sorted(ZERO_OPS))
def test_an_operator_without_a_product_exists_in_torch(name: str) -> None:
    assert torch._C._jit_get_schemas_for_operator(name)


EINSUM_VARIANT = '''
"""Joint attention, written with einsum.

Source: planted.
"""
import torch
from harness.api import Block, SequenceEncoder, Variant, count, plain


class EinsumBlock(Block):
    def mix(self, x):
        q, k, v = (z.unflatten(-1, (self.attn.num_heads, -1)) for z in plain.project(self.attn, x))
        scores = torch.einsum("bihc,bjhc->bhij", q, k) * q.shape[-1] ** -0.5
        return self.attn.proj(torch.einsum("bhij,bjhc->bihc", scores.softmax(-1), v).flatten(-2))


class Einsums(Variant):
    class_token = "clip"
    default_readout = "class_token"
    encoder_type = SequenceEncoder

    def build_block(self, layer):
        return EinsumBlock(self.trunk, layer)

    def block_macs(self, layer):
        return count.block_macs(self.trunk, self.layout().num_tokens, self.layout().num_tokens ** 2)

    def block_influence(self, layout, layer):
        return layout.all_pairs()

    def reference_block(self, block, x, layout, layer):
        x = x + plain.self_attention(block.attn, plain.norm(block.norm1, x), layout.all_pairs())
        return x + plain.mlp(block.mlp, plain.norm(block.norm2, x))
'''


def test_a_variant_written_with_einsum_is_exact(tmp_path: Path) -> None:
    (tmp_path / "einsums.py").write_text(EINSUM_VARIANT, encoding="utf-8")
    case = Case("default", load_variant("einsums", [tmp_path]))
    check_reference(case)
    check_macs(case)
