"""Fixtures that plan sweeps from text, with the variants of `sweep_helpers`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sweep_helpers import plan_file

from harness.errors import Fault, UserError, on_command_line
from harness.sweep.plan import Plan


@pytest.fixture(autouse=True)
def _on_command_line() -> Iterator[None]:
    """Words messages as the command line does."""
    with on_command_line():
        yield


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """Returns a function that plans a sweep from text or bytes, written to `q.yaml` in the working folder."""
    monkeypatch.chdir(tmp_path)

    def run(text: str | bytes, *overrides: str, device: str = "cpu") -> Plan:
        Path("q.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return plan_file(Path("q.yaml"), *overrides, device=device)

    return run


@pytest.fixture
def faults(plan: Callable[..., Plan]) -> Callable[..., list[Fault]]:
    """Returns a function that plans a sweep from text and returns all its faults."""

    def run(text: str | bytes, *overrides: str) -> list[Fault]:
        with pytest.raises(UserError) as caught:
            plan(text, *overrides)
        return list(caught.value.faults)

    return run
