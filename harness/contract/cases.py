"""The cases of the contract: a variant spread over its knobs, global tokens and geometries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import torch
from pydantic import ValidationError
from torch import nn

from harness.api import Tokens, TrunkGeometry, Variant, from_sequence
from harness.nn.config import GlobalTokensConfig
from harness.registry import load_variant

#: odd, unequal sizes, so that swapped axes change a shape or a number
SMALL = TrunkGeometry(embed_dim=32, depth=2, num_heads=4, mlp_ratio=2.0, num_frames=5, height=2, width=3)
WIDER = replace(SMALL, depth=3, num_frames=7, height=3, width=2, num_heads=2)
#: for variants that refuse odd sizes or oblong frames
EVEN = replace(SMALL, num_frames=8, height=4, width=4)
#: the default is checked on the first one that it does not refuse
GEOMETRIES = (SMALL, WIDER, EVEN)
GLOBAL_TOKENS: list[dict[str, Any]] = [
    {"summary": 1},
    {"summary": 2, "summary_mixed": True},
    {"registers": 2},
    {"summary": 1, "registers": 1},
]


@dataclass(frozen=True)
class Case:
    """A variant with one configuration on one geometry."""

    label: str
    variant_class: type[Variant]
    config: Mapping[str, Any] = field(default_factory=dict)
    trunk: TrunkGeometry = SMALL
    #: a knob and global tokens changed together
    is_pair: bool = False

    def variant(self) -> Variant:
        """Build the configured variant."""
        return self.variant_class(self.variant_class.Config(**self.config), self.trunk)

    @property
    def is_default(self) -> bool:
        """Return whether this is the default case, on which the expensive checks run."""
        return not self.config and self.trunk == base_geometry(self.variant_class)


@dataclass(frozen=True)
class CaseSpread:
    """The cases of a variant; those that it refuses, with the reason; those whose setup raises, with the exception."""

    cases: list[Case]
    refused: dict[str, str]
    crashed: dict[str, Exception]


def refusals(case: Case) -> str:
    """Return the variant's reasons for refusing the case, or an empty string."""
    try:
        return "; ".join(f"{key}: {message}" for key, message in case.variant().validate())
    except ValidationError as error:
        return str(error)


def base_geometry(variant_class: type[Variant]) -> TrunkGeometry | None:
    """Return the first geometry that the variant's default accepts, or None."""
    return next((trunk for trunk in GEOMETRIES if not refusals(Case("default", variant_class, trunk=trunk))), None)


def _alternatives(annotation: Any) -> list[Any]:
    """Return values to try for a field of this type: all of a Literal, both of a bool."""
    if annotation is bool:
        return [False, True]
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in _alternatives(part)]


def _knobs(variant_class: type[Variant], base: TrunkGeometry) -> Iterator[Case]:
    """Yield each knob changed alone, to each of its alternatives and `examples`."""
    for key, info in variant_class.Config.model_fields.items():
        for value in [*_alternatives(info.annotation), *(info.examples or [])]:
            if value != info.default:
                yield Case(f"{key}={value}", variant_class, {key: value}, base)


def _with_tokens(variant_class: type[Variant], base: TrunkGeometry) -> Iterator[Case]:
    """Yield each global token mechanism, at the default of the knobs."""
    for tokens in GLOBAL_TOKENS:
        trunk = replace(base, global_tokens=GlobalTokensConfig(**tokens))
        yield Case(",".join(f"{key}={value}" for key, value in tokens.items()), variant_class, trunk=trunk)


def _pairs(variant_class: type[Variant], base: TrunkGeometry) -> Iterator[Case]:
    """Yield each changed knob with each global token mechanism that the default can carry."""
    carried = [case for case in _with_tokens(variant_class, base) if not refusals(case)]
    for knob, tokens in product(_knobs(variant_class, base), carried):
        yield replace(knob, label=f"{knob.label},{tokens.label}", trunk=tokens.trunk, is_pair=True)


def _wanted(variant_class: type[Variant], base: TrunkGeometry) -> Iterator[Case]:
    """Yield the default, each changed knob, each global token mechanism, their pairs, and a second geometry."""
    yield Case("default", variant_class, trunk=base)
    yield from _knobs(variant_class, base)
    yield from _with_tokens(variant_class, base)
    yield from _pairs(variant_class, base)
    for trunk in GEOMETRIES[GEOMETRIES.index(base) + 1 :][:1]:
        yield Case("second geometry", variant_class, trunk=trunk)


def spread(name: str, variant_dirs: Sequence[Path] = ()) -> CaseSpread:
    """Spread a variant over its cases; there are none if every geometry refuses its default."""
    variant_class = load_variant(name, variant_dirs)
    found = CaseSpread([], {}, {})
    try:
        base = base_geometry(variant_class)
    except Exception as error:  # raised by the variant's own code
        return CaseSpread([], {}, {"default": error})
    if base is None:
        for trunk in GEOMETRIES:
            label = f"default, {trunk.num_frames} frames of {trunk.height} x {trunk.width} patches"
            found.refused[label] = refusals(Case(label, variant_class, trunk=trunk))
        return found
    for case in _wanted(variant_class, base):
        try:
            refusal = refusals(case)
        except Exception as error:
            found.crashed[case.label] = error
            continue
        if refusal:
            found.refused[case.label] = refusal
        else:
            found.cases.append(case)
    return found


def cases(name: str, variant_dirs: Sequence[Path] = ()) -> list[Case]:
    """Return the cases of `spread` that can be built."""
    return spread(name, variant_dirs).cases


def random_tokens(variant: Variant, batch: int = 2, seed: int = 0) -> Tokens:
    """Return random float64 tokens for the variant's encoder."""
    layout = variant.layout()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, layout.num_tokens, variant.trunk.embed_dim, generator=generator, dtype=torch.float64)
    grid = torch.empty(batch, layout.num_frames, layout.height, layout.width, 1)
    cls = {"none": None, "clip": torch.empty(batch, 1), "frame": torch.empty(batch, layout.num_frames, 1)}
    registers = torch.empty(batch, layout.num_registers, 1) if layout.num_registers else None
    return from_sequence(x, Tokens(grid, cls[layout.class_token], registers))


def perturbed_encoder(variant: Variant, seed: int = 0) -> nn.Module:
    """Build the encoder in float64 and eval mode, with every parameter away from its initial value."""
    torch.manual_seed(seed)
    encoder = variant.build_encoder().double().eval()
    for parameter in encoder.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 10
        with torch.no_grad():
            parameter.add_(torch.randn_like(parameter) * fan_in**-0.5)
    return encoder
