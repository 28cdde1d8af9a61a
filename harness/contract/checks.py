"""The checks of the contract: each raises `Broken` with what was seen.

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

from harness.api import DegenerateCase, Tokens, TrunkGeometry, Variant, from_sequence, plain_attention, to_sequence
from harness.contract.cases import Case, perturbed_encoder, random_tokens
from harness.measure.macs import count_model
from harness.measure.masked import masked_macs
from harness.model.trunk import VideoTransformer
from harness.nn.config import ModelConfig
from harness.registry import describe, load_variant
from harness.sweep.schema import MeanFramesReadout

TOLERANCE = 1e-9


class Broken(Exception):
    """A variant breaks its contract."""


def _parts(tokens: Tokens) -> list[Tensor]:
    return [part for part in tokens if part is not None]


def _difference(a: Tokens, b: Tokens) -> float:
    if [part.shape for part in _parts(a)] != [part.shape for part in _parts(b)]:
        return float("inf")
    return max(float((x - y).detach().abs().max()) for x, y in zip(_parts(a), _parts(b), strict=True))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise Broken(message)


def check_description(case: Case) -> None:
    """The file's docstring has a first line and a `Source:`; knobs survive a round trip through JSON."""
    if not case.is_default:
        return
    file = Path(sys.modules[case.variant_class.__module__].__file__ or "")
    info = describe(file.stem, [] if file.parent.name == "variants" else [file.parent])
    _require(bool(info.summary), "the file has no docstring: its first line is what `list variants` shows")
    _require(bool(info.source), "the docstring has no line that begins with `Source:`")
    config = case.variant().config
    again = type(config)(**json.loads(config.model_dump_json()))
    _require(again == config, f"the configuration does not survive JSON: {config} became {again}")


def check_shapes(case: Case) -> None:
    """Tokens come out finite, with the class-token policy that the variant declares."""
    variant = case.variant()
    out = perturbed_encoder(variant)(random_tokens(variant))
    _require(
        out.class_token == variant.class_token_out,
        f"class token is {out.class_token}, declared {variant.class_token_out}",
    )
    _require(all(bool(part.isfinite().all()) for part in _parts(out)), "output is not finite")
    _require(out.patches.ndim == 5 and out.patches.shape[0] == 2, f"patches have shape {tuple(out.patches.shape)}")
    registers = variant.trunk.global_tokens.registers
    _require((out.registers is not None) == bool(registers), "registers went in and did not come out, or the reverse")


def _run(variant: Variant, encoder: nn.Module, use: Callable[[Tokens], Tokens]) -> tuple[Tokens, dict[str, Tensor]]:
    """Output of `use` and gradients of a fixed random projection of it, for inputs and parameters."""
    tokens = random_tokens(variant)
    inputs = {f"input {i}": part.clone().requires_grad_() for i, part in enumerate(_parts(tokens))}
    leaves = iter(inputs.values())
    out = use(tokens.map(lambda _: next(leaves)))
    generator = torch.Generator().manual_seed(1)
    total = sum((part * torch.randn(part.shape, generator=generator, dtype=part.dtype)).sum() for part in _parts(out))
    wanted = inputs | {name: p for name, p in encoder.named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)  # type: ignore[arg-type]
    return out, {name: torch.zeros(()) if grad is None else grad for name, grad in zip(wanted, grads, strict=True)}


def _same_run(got: tuple[Tokens, dict[str, Tensor]], want: tuple[Tokens, dict[str, Tensor]], what: str) -> None:
    difference = _difference(got[0], want[0])
    _require(difference <= TOLERANCE, f"output differs from {what} by {difference:.2e} (allowed {TOLERANCE:.0e})")
    for name, grad in want[1].items():
        difference = float((got[1][name] - grad).abs().max())
        _require(difference <= 100 * TOLERANCE, f"gradient of {name} differs from {what} by {difference:.2e}")


def check_reference(case: Case) -> None:
    """Forward and gradients equal the file's own plain reference."""
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
    _require(dead == declared, f"parameters without gradient: {sorted(dead)}, declared: {sorted(declared)}")


def check_determinism(case: Case) -> None:
    """In eval mode nothing is random, whatever the drop rates; in training drop path is."""
    variant = replace(case, trunk=replace(case.trunk, drop_path=0.5)).variant()
    encoder, tokens = perturbed_encoder(variant), random_tokens(variant)
    _require(_difference(encoder(tokens), encoder(tokens)) == 0, "two passes in eval mode differ")
    without = case.variant().build_encoder().double().eval()
    without.load_state_dict(encoder.state_dict())
    _require(_difference(encoder(tokens), without(tokens)) == 0, "drop_path changes the output in eval mode")


def check_batch(case: Case) -> None:
    """A clip's output does not depend on the clips beside it."""
    variant = case.variant()
    encoder, tokens = perturbed_encoder(variant), random_tokens(variant, batch=3)
    alone = encoder(tokens.map(lambda part: part[1:2]))
    among = encoder(tokens).map(lambda part: part[1:2])
    difference = _difference(alone, among)
    _require(difference <= TOLERANCE, f"a clip alone and among others differs by {difference:.2e}")


def measured_influence(variant: Variant, encoder: nn.Module) -> Tensor:
    """Bool (n_out, n_in): nudges each input token in turn and sees which outputs move."""
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
    _require(declared.shape == seen.shape, f"influence is {tuple(declared.shape)}, seen {tuple(seen.shape)}")
    for wrong, verb in (
        (seen & ~declared, "changes but is not declared to"),
        (declared & ~seen, "is declared to change but does not"),
    ):
        if wrong.any():
            i, j = wrong.nonzero()[0].tolist()
            raise Broken(f"output token {i} {verb} with input token {j} ({int(wrong.sum())} such pairs)")


def check_macs(case: Case) -> None:
    """All counts agree to the last multiply-accumulate, forward and backward; no operator is uncounted; what masks
    drop is declared."""
    trunk = case.trunk
    model = ModelConfig(
        embed_dim=trunk.embed_dim, depth=trunk.depth, num_heads=trunk.num_heads, mlp_ratio=trunk.mlp_ratio,
        num_frames=trunk.num_frames, crop_size=12, patch_size=4,
    )  # fmt: skip
    geometry = TrunkGeometry.of(model, trunk.global_tokens)
    variant = replace(case, trunk=geometry).variant()
    readout = MeanFramesReadout(name="mean_frames")
    shape = (trunk.num_frames, 3, 12, 12)
    count = count_model(lambda: VideoTransformer(model, variant, readout, {"label": 3}), shape, backward=True)
    seen = f"fvcore {count.macs_per_view}, FlopCounterMode {count.flop_counter_macs}, closed {count.closed_form_macs}"
    _require(count.status == "exact", f"MACs {count.status}: {seen}, uncounted {count.uncounted_ops}")
    back = count.backward
    _require(back is not None and back.status == "exact", f"MACs of the backward pass: {back}")
    dropped = masked_macs(perturbed_encoder(variant), random_tokens(variant, batch=1))
    _require(dropped == variant.masked_macs(), f"masks drop {dropped} MACs, declared {variant.masked_macs()}")


def check_degenerate(case: Case) -> None:
    """In the settings that the variant declares it equals the other variant, given the same weights."""
    for declared in case.variant().degenerate_cases():
        trunk = replace(case.trunk, **declared.model)
        variant = case.variant_class(case.variant_class.Config(**(dict(case.config) | dict(declared.config))), trunk)
        if list(variant.validate()):
            continue
        other_class = load_variant(declared.equals)
        other = other_class(other_class.Config(**declared.other_config), trunk)
        difference = _degenerate_difference(variant, other, declared)
        _require(difference <= TOLERANCE, f"{declared.name}: differs from {declared.equals} by {difference:.2e}")


def _degenerate_difference(a: Variant, b: Variant, case: DegenerateCase) -> float:
    """Largest difference of two variants' outputs with shared weights."""
    encoder = perturbed_encoder(a)
    if case.at_init:
        a.initialise(encoder)
    other = b.build_encoder().double().eval()
    other.load_state_dict({name: encoder.state_dict()[name] for name in other.state_dict()})
    tokens = random_tokens(a)
    if case.constant_clip:
        cls = tokens.cls
        if cls is not None and a.class_token == "frame":
            cls = cls[:, :1].expand_as(cls)
        tokens = tokens._replace(patches=tokens.patches[:, :1].expand_as(tokens.patches), cls=cls)
    got, want = encoder(tokens), other(_convert(tokens, a, b))
    if case.patches_only or "none" in (got.class_token, want.class_token):
        return _difference(Tokens(got.patches), Tokens(want.patches))
    flat = (Tokens(out.patches, out.cls.reshape(len(out.cls), -1), out.registers) for out in (got, want))
    return _difference(*flat)


def _convert(tokens: Tokens, a: Variant, b: Variant) -> Tokens:
    """The tokens of one variant under the class-token policy of another."""
    if b.class_token == a.class_token or tokens.cls is None:
        return tokens
    if b.class_token == "frame":
        return tokens._replace(cls=tokens.cls.unsqueeze(1).expand(-1, a.trunk.num_frames, -1))
    return tokens._replace(cls=None if b.class_token == "none" else tokens.cls[:, 0])


def check_bf16(case: Case) -> None:
    """Runs under bf16 autocast, forward and backward, finite."""
    variant = case.variant()
    encoder, tokens = perturbed_encoder(variant).float(), random_tokens(variant)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = encoder(tokens.map(lambda part: part.float()))
    torch.stack([part.float().square().mean() for part in _parts(out)]).sum().backward()
    finite = all(p.grad is None or bool(p.grad.isfinite().all()) for p in encoder.parameters())
    _require(finite and all(bool(part.isfinite().all()) for part in _parts(out)), "not finite under bf16 autocast")


def check_compile(case: Case) -> None:
    """torch.compile captures the encoder (aot_eager backend) and does not change its output."""
    if not case.is_default:
        return
    variant = case.variant()
    encoder, tokens = perturbed_encoder(variant), random_tokens(variant)
    torch.compiler.reset()
    compiled = torch.compile(encoder, backend="aot_eager", fullgraph=True)
    difference = _difference(compiled(tokens), encoder(tokens))
    _require(difference <= TOLERANCE, f"compiled output differs by {difference:.2e}")


CHECKS: dict[str, Callable[[Case], None]] = {
    "description": check_description,
    "shapes": check_shapes,
    "reference": check_reference,
    "plain attention": check_plain_attention,
    "gradients": check_gradients,
    "determinism": check_determinism,
    "batch": check_batch,
    "influence": check_influence,
    "macs": check_macs,
    "degenerate cases": check_degenerate,
    "bf16": check_bf16,
    "compile": check_compile,
}
