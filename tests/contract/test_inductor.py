"""The full compiler, on one variant: the others are captured with `aot_eager` by the contract."""

from __future__ import annotations

import torch

from harness import contract


def test_mixing_compiled_by_inductor_gives_the_same() -> None:
    variant = contract.cases("mixing")[0].variant()
    encoder, tokens = contract.perturbed_encoder(variant), contract.random_tokens(variant)
    torch.compiler.reset()
    compiled = torch.compile(encoder, backend="inductor", fullgraph=True)
    got, want = compiled(tokens), encoder(tokens)
    assert torch.allclose(got.patches, want.patches, rtol=0, atol=1e-9)
    assert torch.allclose(got.cls, want.cls, rtol=0, atol=1e-9)
