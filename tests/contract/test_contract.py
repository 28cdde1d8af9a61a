"""Every file in variants/ keeps the contract."""

from __future__ import annotations

import pytest

from harness import contract
from harness.registry import variant_names

PAIRS = [(name, check) for name in variant_names() for check in contract.CHECKS]


@pytest.fixture(scope="module")
def cases_of() -> dict[str, list[contract.Case]]:
    return {}


@pytest.mark.parametrize(("name", "check"), PAIRS, ids=[f"{name}-{check}" for name, check in PAIRS])
def test_variant_keeps_the_contract(name: str, check: str, cases_of: dict[str, list[contract.Case]]) -> None:
    all_cases = cases_of.setdefault(name, contract.cases(name))
    for case in all_cases:
        try:
            contract.CHECKS[check](case)
        except contract.Broken as broken:
            pytest.fail(f"{case.label}: {broken}")


def test_cases_cover_every_knob_of_mixing() -> None:
    labels = {case.label for case in contract.cases("mixing")}
    assert {"mixed=query", "ends=circular", "channel_layout=concat", "outer_only=True", "registers=2"} <= labels
