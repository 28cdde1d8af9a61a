"""What a variant declares of itself for the contract, and what a draft lacks."""

from __future__ import annotations

from harness.api import MaskedVariant, Variant

#: check -> methods of which a variant has one
NEEDED: dict[str, tuple[str, ...]] = {
    "reference": ("reference_attention", "reference_block", "reference"),
    "influence": ("block_influence", "influence"),
    "macs": ("block_macs", "macs"),
}


def missing(variant: type[Variant]) -> dict[str, str]:
    """Return check -> the methods of which the variant has none, for every check; empty unless it is a draft."""
    lacking = {
        check: " or ".join(names) for check, names in NEEDED.items() if not any(_declares(variant, n) for n in names)
    }
    is_masked = issubclass(variant, MaskedVariant)
    return {check: f"allowed, or {methods}" if is_masked else methods for check, methods in lacking.items()}


def has_closed_form(variant: Variant) -> bool:
    """True where the variant states its multiply-accumulates."""
    return "macs" not in missing(type(variant))


def _declares(variant: type[Variant], name: str) -> bool:
    """True where the class has a method of its own, or one that follows from its mask."""
    method = getattr(variant, name)
    if method is getattr(Variant, name):
        return False
    from_mask = method is getattr(MaskedVariant, name)
    return not from_mask or variant.allowed is not MaskedVariant.allowed  # type: ignore[attr-defined]
