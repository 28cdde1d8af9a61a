"""Variants that fail in every way end in the right status, and the sweep continues."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.store.files import is_locked
from tests.e2e import MINI, harness, processes_with, records, statuses, write_sweep

PLANTED = '''
"""A scheme that misbehaves. Source: this test."""
import ctypes, multiprocessing, os, signal, sys, time
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
            self.hoarded = [torch.empty(2**24) for _ in range(1000)]
        if self.fault == "exit":
            print("last words of the worker"); sys.stdout.flush(); os._exit(7)
        if self.fault == "exit_0":
            os._exit(0)
        if self.fault == "sleep":
            time.sleep(600)
        if self.calls == 3:
            leave_processes(self)
        return out

def leave_processes(block):
    if block.fault == "fork" and os.fork() == 0:
        os.setsid()
        time.sleep(600)
    if block.fault == "c_fork" and ctypes.PyDLL(None).fork() == 0:  # Python's hooks do not run
        os.setsid()
        time.sleep(600)
    if block.fault == "twin" and os.fork() == 0:
        time.sleep(0.1)  # and goes on training
    if block.fault == "multiprocessing":
        block.child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
        block.child.start()
    if block.fault == "loader":
        block.rest = iter(torch.utils.data.DataLoader(range(600), num_workers=1))
        next(block.rest)
        os.kill(os.getpid(), signal.SIGKILL)
'''
#: faults that leave processes behind
FORKS = ("fork", "c_fork", "twin", "multiprocessing", "loader")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    folder = tmp_path_factory.mktemp("planted")
    (folder / "more").mkdir()
    (folder / "more/planted.py").write_text(PLANTED)
    text = MINI.replace("variant: {name: mixing, temporal_window: 1}", "variant: {name: planted}")
    faults = ["none", "uncounted", "raise", "nan", "oom", "hog", "exit", "exit_0", "sleep", *FORKS]
    text = text.replace("{variant.temporal_window: [0, 1]}", f"{{variant.fault: [{', '.join(faults)}]}}")
    text = text.replace("baseline: {variant.temporal_window: 0}", "baseline: {variant.fault: none}")
    text = text.replace("launch: {", "launch: {stall_minutes: 0.25, memory_limit_mib: 4096, ")
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
        ("exit_0", "failed", "exit code 0 before it was done"),
        ("sleep", "timeout", "launch.stall_minutes"),
        ("fork", "done", ""),
        ("c_fork", "done", ""),
        ("twin", "done", ""),
        ("multiprocessing", "done", ""),
        ("loader", "killed", "SIGKILL"),
    ],
)
def test_each_fault_becomes_its_status(outcome: tuple[Path, int, str], fault: str, status: str, message: str) -> None:
    run, code, output = outcome
    assert code == 1
    found = statuses(run)[_trial(run, fault).name]
    assert found["status"] == status
    assert message in found["message"]
    assert message in output


def _trial(run: Path, fault: str) -> Path:
    """Returns the folder of the trial with that fault."""
    return next(
        folder for folder in run.glob("trials/*") if f"    fault: {fault}\n" in (folder / "config.yaml").read_text()
    )


def test_what_a_worker_forks_ends_with_it_and_writes_nothing(outcome: tuple[Path, int, str]) -> None:
    run = outcome[0]
    assert processes_with("harness", run.parent.parent) == []
    for fault in FORKS:
        assert not is_locked(_trial(run, fault) / ".lock")
    attempts = (_trial(run, "twin") / "attempts.jsonl").read_text()
    assert [json.loads(line).get("ended") for line in attempts.splitlines()] == [None, "queued", None, "done"]


def test_the_log_shows_where_a_trial_hung(outcome: tuple[Path, int, str]) -> None:
    log = (_trial(outcome[0], "sleep") / "log.txt").read_text()
    assert "no progress for" in log
    assert re.search(r"planted\.py\", line \d+ in forward", log)


def test_rows_that_failed_stand_in_the_report(outcome: tuple[Path, int, str]) -> None:
    run, _, _ = outcome
    table = (run / "report/table.md").read_text()
    assert len(records(run)) == 6
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
