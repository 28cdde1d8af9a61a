"""Tests that need a CUDA device; skipped, with the reason, without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from harness import contract
from harness.api import Tokens
from harness.registry import variant_names
from tests.e2e import MINI, harness, write_sweep

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]


@pytest.mark.parametrize("name", variant_names())
def test_cuda_agrees_with_the_cpu(name: str) -> None:
    case = contract.cases(name)[0]
    variant = case.variant()
    encoder, tokens = contract.perturbed_encoder(variant), contract.random_tokens(variant)
    want = encoder(tokens)
    moved = Tokens(*(None if part is None else part.cuda() for part in tokens))
    got = encoder.cuda()(moved)
    assert torch.allclose(got.patches.cpu(), want.patches, atol=1e-9)


def test_a_trial_on_the_gpu_is_measured_there(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, MINI.replace("device: cpu", "device: cuda, precision: bf16"))
    done = harness("sweep", sweep, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(next(tmp_path.glob("runs/mini/trials/*/record.json")).read_text())
    assert record["environment"]["gpu"] == torch.cuda.get_device_name()
    assert record["costs"]["memory"]["method"] == "torch.cuda.max_memory_allocated"
    assert record["costs"]["timings"]["latency"]["median_ms"] > 0
