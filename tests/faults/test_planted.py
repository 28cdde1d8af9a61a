"""Variants that fail in every way end in the right status, and the sweep continues."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import MINI, harness, records, statuses, write_sweep

PLANTED = '''
"""A scheme that misbehaves. Source: this test."""
import os, sys, time
import torch
from harness.api import FrameAttention, FrameBlock, Variant, count, VariantConfig, Field

@torch.library.custom_op("planted::product", mutates_args=())
def product(x: torch.Tensor) -> torch.Tensor:
    return x @ torch.ones(x.shape[-1], x.shape[-1]) * 1e-3

@product.register_fake
def _(x):
    return torch.empty_like(x)

torch.library.register_autograd("planted::product", lambda ctx, grad: grad)

class Config(VariantConfig):
    fault: str = "none"

class Planted(Variant):
    Config = Config
    def build_block(self, layer):
        return Misbehaving(self.trunk, layer, self.config.fault)
    def block_macs(self, layer):
        return count.frame_block_macs(self.trunk, layer, 1 + self.trunk.num_patches)

class Misbehaving(FrameBlock):
    def __init__(self, trunk, layer, fault):
        super().__init__(trunk, layer, FrameAttention(trunk, layer))
        self.fault, self.calls = fault, 0
    def forward(self, frames):
        out = super().forward(frames)
        if self.fault == "uncounted":
            return out._replace(x=product(out.x))
        if not self.training or frames.x.is_meta:
            return out
        self.calls += 1
        if self.calls < 3:
            return out
        if self.fault == "raise":
            raise ValueError("planted fault in layer 0")
        if self.fault == "nan":
            return out._replace(x=out.x * float("nan"))
        if self.fault == "oom":
            torch.empty(2**50, dtype=torch.uint8)
        if self.fault == "hog":  # a real refusal, by the limit on the worker
            self.hoarded = [torch.ones(2**24) for _ in range(1000)]
        if self.fault == "exit":
            print("last words of the worker"); sys.stdout.flush(); os._exit(7)
        if self.fault == "sleep":
            time.sleep(600)
        return out
'''


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    folder = tmp_path_factory.mktemp("planted")
    (folder / "more").mkdir()
    (folder / "more/planted.py").write_text(PLANTED)
    text = MINI.replace("variant: {name: mixing, temporal_window: 1}", "variant: {name: planted}")
    text = text.replace(
        "{variant.temporal_window: [0, 1]}", "{variant.fault: [none, uncounted, raise, nan, oom, hog, exit, sleep]}"
    )
    text = text.replace("baseline: {variant.temporal_window: 0}", "baseline: {variant.fault: none}")
    text = text.replace("launch: {", "launch: {time_limit_minutes: 0.2, memory_limit_mib: 4096, ")
    done = harness("sweep", write_sweep(folder, text), "--variants", "more", cwd=folder)
    return folder / "runs/mini", done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("fault", "status", "message"),
    [
        ("none", "done", ""),
        ("uncounted", "done", ""),
        ("raise", "failed", "ValueError: planted fault in layer 0"),
        ("nan", "nan", "the loss is nan at step 3"),
        ("oom", "oom", "1125899906842624"),
        ("hog", "oom", "tried to allocate 67108864 bytes"),
        ("exit", "failed", "last words of the worker"),
        ("sleep", "timeout", "launch.time_limit_minutes"),
    ],
)
def test_each_fault_becomes_its_status(outcome: tuple[Path, int, str], fault: str, status: str, message: str) -> None:
    run, code, output = outcome
    assert code == 1
    by_fault = {}
    for trial_id, found in statuses(run).items():
        config = (run / "trials" / trial_id / "config.yaml").read_text()
        by_fault[next(line for line in config.splitlines() if "fault:" in line).split()[-1]] = found
    assert by_fault[fault]["status"] == status
    assert message in by_fault[fault]["message"]
    assert message in output


def test_rows_that_failed_stand_in_the_report(outcome: tuple[Path, int, str]) -> None:
    run, _, _ = outcome
    table = (run / "report/table.md").read_text()
    assert len(records(run)) == 2
    for status in ("nan", "oom", "timeout", "failed"):
        assert status in table


def test_an_operator_that_nobody_can_count_makes_the_row_a_lower_bound(outcome: tuple[Path, int, str]) -> None:
    found = {record["config"]["variant"]["fault"]: record["costs"]["macs"] for record in records(outcome[0]).values()}
    assert found["none"]["status"] == "exact"
    assert found["uncounted"]["status"] == "lower_bound"
    assert list(found["uncounted"]["uncounted_ops"]) == ["planted::product"]
    assert found["uncounted"]["macs_per_view"] == found["none"]["macs_per_view"]
    assert "planted::product" in (outcome[0] / "report/table.md").read_text()


def test_the_traceback_is_in_the_log(outcome: tuple[Path, int, str]) -> None:
    logs = "".join(path.read_text() for path in outcome[0].glob("trials/*/log.txt"))
    assert "Traceback" in logs
    assert "planted fault in layer 0" in logs
