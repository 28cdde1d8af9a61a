"""The check that a variant's encoder can be exported with a free batch size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.api import Tokens
from harness.contract.cases import Case, perturbed_encoder, random_tokens
from harness.contract.compare import TOLERANCE, Broken, parts, require

TRACED_BATCH, OTHER_BATCH = 2, 5


class _OnTensors(nn.Module):
    """An encoder as a function of the tensors that its tokens consist of: exported programs take no tuple of None."""

    def __init__(self, encoder: nn.Module, names: list[str]):
        super().__init__()
        self.encoder, self.names = encoder, names

    def forward(self, *tensors: Tensor) -> list[Tensor]:
        return parts(self.encoder(Tokens(**dict(zip(self.names, tensors, strict=True)))))


def check_export(case: Case) -> str | None:
    """torch.export captures the encoder with a free batch size: another batch than the traced one gives its output."""
    if not case.is_default:
        return "runs on the default only"
    variant = case.variant()
    encoder, tokens = perturbed_encoder(variant), random_tokens(variant, batch=TRACED_BATCH)
    program = _exported(encoder, tokens)
    other = random_tokens(variant, batch=OTHER_BATCH, seed=1)
    with torch.no_grad():
        got, want = program.module()(*parts(other)), encoder(other)
    shapes = [tuple(part.shape) for part in got]
    require(shapes == [tuple(part.shape) for part in parts(want)], f"a batch of {OTHER_BATCH} comes out as {shapes}")
    difference = max(float((a - b).abs().max()) for a, b in zip(got, parts(want), strict=True))
    require(difference <= TOLERANCE, f"a batch of {OTHER_BATCH} differs from the encoder by {difference:.2e}")
    return None


def _exported(encoder: nn.Module, tokens: Tokens) -> torch.export.ExportedProgram:
    """The encoder captured from these tokens. Raises: Broken where that fails, or fixes the batch size."""
    names = [name for name, part in tokens._asdict().items() if part is not None]
    batch = torch.export.Dim("batch", min=1, max=64)
    free = {"tensors": tuple({0: batch} for _ in names)}
    try:
        return torch.export.export(_OnTensors(encoder, names), tuple(parts(tokens)), dynamic_shapes=free)
    except Exception as error:  # torch raises many kinds, of which few are public
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = f"{type(error).__name__}: {' '.join(lines[:2])}"
        raise Broken(f"torch.export with a free batch size fails: {reason}") from error
