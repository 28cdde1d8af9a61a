"""The checks of the contract: each raises `Broken`, or returns why it had nothing to check.

All numerical comparisons are in float64 at perturbed weights, since zero initialisation hides wiring.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from harness.api import Layout, Tokens, TrunkGeometry, Variant, from_sequence, plain_attention, to_sequence
from harness.contract.cases import Case, perturbed_encoder, random_tokens, refusals
from harness.contract.compare import TOLERANCE, Broken, difference_of, parts, require
from harness.contract.degenerate import check_degenerate
from harness.contract.export import check_export
from harness.contract.masks import check_mask
from harness.measure.count.macs import count_model
from harness.measure.count.masked import masked_macs
from harness.model.video_transformer import VideoTransformer
from harness.nn.config import ModelConfig
from harness.registry import describe_file
from harness.sweep.schema import MeanFramesReadout

DEFAULT_ONLY = "runs on the default only"


def check_description(case: Case) -> str | None:
    """The file's docstring has a first line and a `Source:`; knobs survive a round trip through JSON."""
    if not case.is_default:
        return DEFAULT_ONLY
    file = Path(sys.modules[case.variant_class.__module__].__file__ or "")
    info = describe_file(file, file.stem)  # by its file: a package offers it under a name of its own choice
    require(bool(info.summary), "the file has no docstring: its first line is what `list variants` shows")
    require(bool(info.source), "the docstring has no line that begins with `Source:`")
    config = case.variant().config
    again = type(config)(**json.loads(config.model_dump_json()))
    require(again == config, f"the configuration does not survive JSON: {config} became {again}")
    return None


def check_shapes(case: Case) -> None:
    """Tokens come out finite, with the class-token policy that the variant declares."""
    variant = case.variant()
    out = perturbed_encoder(variant)(random_tokens(variant))
    require(
        out.class_token == variant.class_token_out,
        f"class token is {out.class_token}, declared {variant.class_token_out}",
    )
    require(all(bool(part.isfinite().all()) for part in parts(out)), "output is not finite")
    require(out.patches.ndim == 5 and out.patches.shape[0] == 2, f"patches have shape {tuple(out.patches.shape)}")
    registers = variant.trunk.global_tokens.registers
    require((out.registers is not None) == bool(registers), "registers went in and did not come out, or the reverse")


def _run(variant: Variant, encoder: nn.Module, use: Callable[[Tokens], Tokens]) -> tuple[Tokens, dict[str, Tensor]]:
    """Return the output of `use` and the gradients of a fixed random projection, for inputs and parameters."""
    tokens = random_tokens(variant)
    inputs = {f"input {i}": part.clone().requires_grad_() for i, part in enumerate(parts(tokens))}
    leaves = iter(inputs.values())
    out = use(tokens.map(lambda _: next(leaves)))
    generator = torch.Generator().manual_seed(1)
    total = sum((part * torch.randn(part.shape, generator=generator, dtype=part.dtype)).sum() for part in parts(out))
    wanted = inputs | {name: p for name, p in encoder.named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)  # type: ignore[arg-type]
    return out, {name: torch.zeros(()) if grad is None else grad for name, grad in zip(wanted, grads, strict=True)}


def _same_run(got: tuple[Tokens, dict[str, Tensor]], want: tuple[Tokens, dict[str, Tensor]], what: str) -> None:
    difference = difference_of(got[0], want[0])
    require(difference <= TOLERANCE, f"output differs from {what} by {difference:.2e} (allowed {TOLERANCE:.0e})")
    for name, grad in want[1].items():
        difference = float((got[1][name] - grad).abs().max())
        require(difference <= 100 * TOLERANCE, f"gradient of {name} differs from {what} by {difference:.2e}")


def check_reference(case: Case) -> None:
    """Forward and gradients equal the variant's oracle (plain reference)."""
    variant = case.variant()
    encoder = perturbed_encoder(variant)
    want = _run(variant, encoder, lambda tokens: variant.reference(encoder, tokens))
    _same_run(_run(variant, encoder, encoder), want, "reference()")


def check_plain_attention(case: Case) -> None:
    """The fused attention kernel and the written-out softmax agree, forward and backward."""
    variant = case.variant()
    encoder = perturbed_encoder(variant)
    with plain_attention():
        want = _run(variant, encoder, encoder)
    _same_run(_run(variant, encoder, encoder), want, "plain attention")


def check_gradients(case: Case) -> None:
    """Every parameter receives a gradient, except those that the variant declares."""
    variant = case.variant()
    encoder = perturbed_encoder(variant)
    grads = _run(variant, encoder, encoder)[1]
    dead = {name for name, grad in grads.items() if not name.startswith("input") and not bool(grad.any())}
    declared = variant.without_gradient()
    require(dead == declared, f"parameters without gradient: {sorted(dead)}, declared: {sorted(declared)}")


def check_determinism(case: Case) -> None:
    """In eval mode nothing is random, whatever the drop rates; in training drop path is."""
    variant = replace(case, trunk=replace(case.trunk, drop_path=0.5)).variant()
    encoder, tokens = perturbed_encoder(variant), random_tokens(variant)
    require(difference_of(encoder(tokens), encoder(tokens)) == 0, "two passes in eval mode differ")
    without = case.variant().build_encoder().double().eval()
    without.load_state_dict(encoder.state_dict())
    require(difference_of(encoder(tokens), without(tokens)) == 0, "drop_path changes the output in eval mode")


def check_batch(case: Case) -> None:
    """A clip's output does not depend on the other clips of its batch."""
    variant = case.variant()
    encoder, tokens = perturbed_encoder(variant), random_tokens(variant, batch=3)
    alone = encoder(tokens.map(lambda part: part[1:2]))
    among = encoder(tokens).map(lambda part: part[1:2])
    difference = difference_of(alone, among)
    require(difference <= TOLERANCE, f"a clip alone and among others differs by {difference:.2e}")


def measured_influence(variant: Variant, encoder: nn.Module) -> Tensor:
    """Return bool (n_out, n_in): nudge each input token in turn and observe which outputs move."""
    tokens = random_tokens(variant, batch=1)
    row = to_sequence(tokens)
    nudged = row.repeat(row.shape[1], 1, 1)
    nudged += torch.eye(row.shape[1], dtype=row.dtype).unsqueeze(-1) * torch.randn(row.shape[-1], dtype=row.dtype)
    like = tokens.map(lambda part: part.expand(row.shape[1], *part.shape[1:]))
    moved = to_sequence(encoder(from_sequence(nudged, like))) - to_sequence(encoder(tokens))
    return (moved.abs().amax(-1) > 1e-12).T


def check_influence(case: Case) -> None:
    """Exactly the declared tokens change an output token, no more and no fewer."""
    variant = case.variant()
    declared, seen = variant.influence(variant.layout()), measured_influence(variant, perturbed_encoder(variant))
    require(declared.shape == seen.shape, f"influence is {tuple(declared.shape)}, seen {tuple(seen.shape)}")
    for wrong, verb in (
        (seen & ~declared, "changes but is not declared to"),
        (declared & ~seen, "is declared to change but does not"),
    ):
        if wrong.any():
            i, j = wrong.nonzero()[0].tolist()
            output, given = _layout_out(variant).tokens()[i], variant.layout().tokens()[j]
            raise Broken(f"the output {output} {verb} with the input {given} ({int(wrong.sum())} such pairs)")


def _layout_out(variant: Variant) -> Layout:
    out = variant.trunk_out
    registers = out.global_tokens.registers
    return Layout(out.num_frames, out.height, out.width, variant.class_token_out, registers)


def _square(case: Case) -> tuple[ModelConfig, Variant]:
    """Return a whole model with square frames: of the case's own side, or the first that is not refused."""
    trunk = case.trunk
    sides = [trunk.height] if trunk.height == trunk.width else [3, 4, 2]
    for side in sides:
        model = ModelConfig(
            embed_dim=trunk.embed_dim, depth=trunk.depth, num_heads=trunk.num_heads, mlp_ratio=trunk.mlp_ratio,
            num_frames=trunk.num_frames, crop_size=4 * side, patch_size=4,
        )  # fmt: skip
        square = replace(case, trunk=TrunkGeometry.of(model, trunk.global_tokens))
        if not refusals(square):
            return model, square.variant()
    tried = ", ".join(f"{side} x {side}" for side in sides)
    raise Broken(f"cannot be counted: frames of {tried} patches are refused")


def check_macs(case: Case) -> None:
    """All counts agree to the last multiply-accumulate, forward and backward; no operator is uncounted; what masks
    drop is declared."""
    model, variant = _square(case)
    readout = MeanFramesReadout(name="mean_frames")
    shape = (model.num_frames, 3, model.crop_size, model.crop_size)
    count = count_model(
        lambda: VideoTransformer(model, variant, readout, {"label": 3}), shape, backward=not case.is_pair
    )
    require(count.closed_form_macs is not None, "no closed form: add block_macs or macs")
    seen = f"fvcore {count.macs_per_view}, FlopCounterMode {count.flop_counter_macs}, closed {count.closed_form_macs}"
    require(count.status == "exact", f"MACs {count.status}: {seen}, uncounted {count.uncounted_ops}")
    if not case.is_pair:
        back = count.backward
        require(back is not None and back.status == "exact", f"MACs of the backward pass: {back}")
    dropped = masked_macs(perturbed_encoder(variant), random_tokens(variant, batch=1))
    require(dropped == variant.masked_macs(), f"masks drop {dropped} MACs, declared {variant.masked_macs()}")


def check_bf16(case: Case) -> None:
    """Runs under bf16 autocast, forward and backward, finite."""
    variant = case.variant()
    encoder, tokens = perturbed_encoder(variant).float(), random_tokens(variant)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = encoder(tokens.map(lambda part: part.float()))
    torch.stack([part.float().square().mean() for part in parts(out)]).sum().backward()
    finite = all(p.grad is None or bool(p.grad.isfinite().all()) for p in encoder.parameters())
    require(finite and all(bool(part.isfinite().all()) for part in parts(out)), "not finite under bf16 autocast")


def check_compile(case: Case) -> str | None:
    """torch.compile captures the encoder (aot_eager backend) and does not change its output."""
    if not case.is_default:
        return DEFAULT_ONLY
    variant = case.variant()
    encoder, tokens = perturbed_encoder(variant), random_tokens(variant)
    torch.compiler.reset()
    compiled = torch.compile(encoder, backend="aot_eager", fullgraph=True)
    difference = difference_of(compiled(tokens), encoder(tokens))
    require(difference <= TOLERANCE, f"compiled output differs by {difference:.2e}")
    return None


#: name -> check; what it returns is why the case gave it nothing to check, None where it did
CHECKS: dict[str, Callable[[Case], str | None]] = {
    "description": check_description,
    "shapes": check_shapes,
    "reference": check_reference,
    "plain attention": check_plain_attention,
    "gradients": check_gradients,
    "determinism": check_determinism,
    "batch": check_batch,
    "influence": check_influence,
    "mask": check_mask,
    "macs": check_macs,
    "degenerate cases": check_degenerate,
    "bf16": check_bf16,
    "compile": check_compile,
    "export": check_export,
}
