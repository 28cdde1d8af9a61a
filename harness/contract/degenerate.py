"""The check of the settings in which a variant equals another one."""

from __future__ import annotations

from dataclasses import replace

from harness.api import DegenerateCase, Tokens, Variant
from harness.contract.cases import Case, perturbed_encoder, random_tokens
from harness.contract.compare import TOLERANCE, difference_of, require
from harness.registry import load_variant

NONE_DECLARED = "none declared"
NO_PAIRS = "compared with one change at a time"
NONE_FITS = "none of the declared ones can be built here"


def check_degenerate(case: Case) -> str | None:
    """In the settings that the variant declares it equals the other variant, given the same weights."""
    if case.is_pair:
        return NO_PAIRS
    declared_cases = list(case.variant().degenerate_cases())
    num_compared = 0
    for declared in declared_cases:
        trunk = replace(case.trunk, **declared.model)
        variant = case.variant_class(case.variant_class.Config(**(dict(case.config) | dict(declared.config))), trunk)
        if list(variant.validate()):
            continue
        other_class = load_variant(declared.equals)
        other = other_class(other_class.Config(**declared.other_config), trunk)
        difference = _difference(variant, other, declared)
        require(difference <= TOLERANCE, f"{declared.name}: differs from {declared.equals} by {difference:.2e}")
        num_compared += 1
    if num_compared:
        return None
    return NONE_FITS if declared_cases else NONE_DECLARED


def _difference(a: Variant, b: Variant, case: DegenerateCase) -> float:
    """Return the largest difference of two variants' outputs with shared weights."""
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
        return difference_of(Tokens(got.patches), Tokens(want.patches))
    flat = (Tokens(out.patches, out.cls.reshape(len(out.cls), -1), out.registers) for out in (got, want))
    return difference_of(*flat)


def _convert(tokens: Tokens, a: Variant, b: Variant) -> Tokens:
    """Convert the tokens of one variant to the class-token policy of another."""
    if b.class_token == a.class_token or tokens.cls is None:
        return tokens
    if b.class_token == "frame":
        return tokens._replace(cls=tokens.cls.unsqueeze(1).expand(-1, a.trunk.num_frames, -1))
    return tokens._replace(cls=None if b.class_token == "none" else tokens.cls[:, 0])
