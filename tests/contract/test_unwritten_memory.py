"""No kernel of a variant reads memory that was never written, in bfloat16 on the CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from harness.contract import CHECKS, cases
from harness.nn import grid
from harness.registry import variant_names
from tests.contract.planting import is_red
from tests.contract.test_contract_grids import CASES, case_named

#: glibc: fill allocated memory with the complement of this byte, which makes every float in it NaN
M_PERTURB, ONES = -6, 256


@pytest.fixture(autouse=True)
def memory_of_nan() -> Iterator[None]:
    """Allocated memory holds NaN until it is written."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        pytest.skip("only glibc fills the memory that it allocates")
    libc.mallopt(M_PERTURB, ONES)
    assert torch.empty(4096).isnan().all()
    yield
    libc.mallopt(M_PERTURB, 0)


@pytest.mark.parametrize("name", variant_names())
def test_bf16_is_finite(name: str) -> None:
    for case in cases(name):
        CHECKS["bf16"](case)


@pytest.mark.parametrize("label", CASES)
def test_bf16_is_finite_on_other_grids(label: str) -> None:
    CHECKS["bf16"](case_named(label))


def test_without_the_copy_a_gradient_is_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy may go when this fails: then the kernel of a newer torch is sound."""
    monkeypatch.setattr(grid, "convolve", nn.Module.__call__)
    assert is_red("bf16", case_named("shrinking clip"))
