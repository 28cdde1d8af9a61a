"""Sweeps planned from text, with the variants of `sweep_helpers`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sweep_helpers import plan_file

from harness.errors import Fault, UserError
from harness.sweep.plan import Plan


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """Plans a sweep given as text (or bytes); it lies in `q.yaml` of the working folder."""
    monkeypatch.chdir(tmp_path)

    def run(text: str | bytes, *overrides: str, device: str = "cpu") -> Plan:
        Path("q.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return plan_file(Path("q.yaml"), *overrides, device=device)

    return run


@pytest.fixture
def faults(plan: Callable[..., Plan]) -> Callable[..., list[Fault]]:
    """All faults of a sweep given as text."""

    def run(text: str | bytes, *overrides: str) -> list[Fault]:
        with pytest.raises(UserError) as caught:
            plan(text, *overrides)
        return list(caught.value.faults)

    return run
