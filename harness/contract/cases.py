"""What the contract is checked on: a variant spread over its knobs, global tokens and geometries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import torch
from torch import nn

from harness.api import Tokens, TrunkGeometry, Variant, from_sequence
from harness.nn.config import GlobalTokensConfig
from harness.registry import load_variant

#: odd, unequal sizes, so that swapped axes change a shape or a number
SMALL = TrunkGeometry(embed_dim=32, depth=2, num_heads=4, mlp_ratio=2.0, num_frames=5, height=2, width=3)
WIDER = replace(SMALL, depth=3, num_frames=7, height=3, width=2, num_heads=2)
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

    def variant(self) -> Variant:
        """The configured variant."""
        return self.variant_class(self.variant_class.Config(**self.config), self.trunk)

    @property
    def is_default(self) -> bool:
        """True for the variant as it comes, the case on which the expensive checks run."""
        return not self.config and self.trunk is SMALL


def _alternatives(annotation: Any) -> list[Any]:
    """Values worth trying for a field of this type: all of a Literal, both of a bool."""
    if annotation is bool:
        return [False, True]
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in _alternatives(part)]


def cases(name: str, variant_dirs: Sequence[Path] = ()) -> list[Case]:
    """The variant as it comes, each knob changed alone, each global token mechanism, a second geometry."""
    variant_class = load_variant(name, variant_dirs)
    found = [Case("default", variant_class)]
    for key, info in variant_class.Config.model_fields.items():
        for value in _alternatives(info.annotation):
            if value != info.default:
                found.append(Case(f"{key}={value}", variant_class, {key: value}))
    for tokens in GLOBAL_TOKENS:
        trunk = replace(SMALL, global_tokens=GlobalTokensConfig(**tokens))
        found.append(Case(",".join(f"{k}={v}" for k, v in tokens.items()), variant_class, trunk=trunk))
    found.append(Case("second geometry", variant_class, trunk=WIDER))
    return [case for case in found if not list(case.variant().validate())]


def random_tokens(variant: Variant, batch: int = 2, seed: int = 0) -> Tokens:
    """Random float64 tokens of the kind that the variant's encoder takes."""
    layout = variant.layout()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, layout.num_tokens, variant.trunk.embed_dim, generator=generator, dtype=torch.float64)
    grid = torch.empty(batch, layout.num_frames, layout.height, layout.width, 1)
    cls = {"none": None, "clip": torch.empty(batch, 1), "frame": torch.empty(batch, layout.num_frames, 1)}
    registers = torch.empty(batch, layout.num_registers, 1) if layout.num_registers else None
    return from_sequence(x, Tokens(grid, cls[layout.class_token], registers))


def perturbed_encoder(variant: Variant, seed: int = 0) -> nn.Module:
    """The encoder in float64 and eval mode, every parameter away from its initial value."""
    torch.manual_seed(seed)
    encoder = variant.build_encoder().double().eval()
    for parameter in encoder.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 10
        with torch.no_grad():
            parameter.add_(torch.randn_like(parameter) * fan_in**-0.5)
    return encoder
