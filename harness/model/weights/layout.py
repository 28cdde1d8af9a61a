"""Definition of a checkpoint layout: rules from its keys to our names, and the conventions of its source."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness.errors import UserError
from harness.model.weights.report import Item

PARTS = ("q", "k", "v")
MAX_SHOWN = 8


@dataclass(frozen=True)
class Rule:
    """One kind of key: a pattern of the whole key, and our name for it, or None and why it is not used.

    Our names are those of `VideoTransformer`'s parameters, and `head.*` for the classifier. `part` is q, k or v for
    one of three tensors that are joined in that order. `tubelets` restricts a rule to models with (without) tubelets.
    """

    pattern: str
    target: str | None
    reason: str = ""
    part: str = ""
    transform: Callable[[Tensor], Tensor] | None = None
    tubelets: bool | None = None


@dataclass(frozen=True)
class WeightsLayout:
    """A family of files.

    `present` and `absent` distinguish it from other layouts: patterns of which each, or none, must match some key.
    `spatial` and `temporal`: interpolations of its source ("": none). `expects`: fields of the model that such
    weights were trained with; the report lists differences.
    """

    name: str
    summary: str
    present: tuple[str, ...]
    rules: tuple[Rule, ...]
    absent: tuple[str, ...] = ()
    spatial: str = "bicubic"
    temporal: str = ""
    expects: Mapping[str, Any] = field(default_factory=dict)
    num_heads: Callable[[Mapping[str, Tensor]], int | None] = lambda state: None

    def fits(self, keys: Sequence[str]) -> bool:
        """Return whether these are keys of this layout."""
        found = [any(re.fullmatch(pattern, key) for key in keys) for pattern in (*self.present, *self.absent)]
        return all(found[: len(self.present)]) and not any(found[len(self.present) :])


class Translated(NamedTuple):
    """A file under our names: tensors, the keys they come from, and keys that the layout does not use."""

    tensors: dict[str, Tensor]
    sources: dict[str, str]
    ignored: list[Item]


def module_rules(prefix: str, ours: str, names: Mapping[str, str]) -> tuple[Rule, ...]:
    """Make rules for weights and biases of the modules of a layer; `prefix`: a pattern with one group, the layer."""
    return tuple(
        Rule(rf"{prefix}\.{re.escape(theirs)}\.(weight|bias)", rf"{ours}.\1.{name}.\2")
        for theirs, name in names.items()
    )


def affine(theirs: str, ours: str) -> Rule:
    """Make the rule for weight and bias of one module."""
    return Rule(rf"{re.escape(theirs)}\.(weight|bias)", rf"{ours}.\1")


#: the modules of a block under timm's names, which are ours
TIMM_BLOCK = {name: name for name in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")}


def translate(state: Mapping[str, Tensor], layout: WeightsLayout, tubelets: bool, file: str) -> Translated:
    """Translate a file to our names.

    Raises:
        UserError: keys without a rule, two keys for one parameter, or a missing part of a joined one.
    """
    result, unknown = Translated({}, {}, []), []
    parts: dict[str, dict[str, tuple[str, Tensor]]] = {}
    for key, tensor in state.items():
        rule, target = _rule_for(key, layout, tubelets)
        if rule is None:
            unknown.append(key)
        elif target is None:
            result.ignored.append(Item("", key, rule.reason))
        elif rule.part:
            parts.setdefault(target, {})[rule.part] = (key, _transformed(rule, tensor, key, file))
        else:
            _put(result, target, key, _transformed(rule, tensor, key, file), file)
    if unknown:
        raise UserError(f"{file}: {some(unknown)}: not known in layout {layout.name} ({layout.summary})")
    for target, given in parts.items():
        _put(result, target, *_joined(target, given, file), file)
    return result


def _rule_for(key: str, layout: WeightsLayout, tubelets: bool) -> tuple[Rule | None, str | None]:
    for rule in layout.rules:
        match = re.fullmatch(rule.pattern, key)
        if match and rule.tubelets in (None, tubelets):
            return rule, match.expand(rule.target) if rule.target is not None else None
    return None, None


def _transformed(rule: Rule, tensor: Tensor, key: str, file: str) -> Tensor:
    if not tensor.is_floating_point():
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise UserError(f"{file}: {key} has dtype {dtype}; weights are floating-point numbers, e.g. float32")
    try:
        return tensor if rule.transform is None else rule.transform(tensor).contiguous()
    except (RuntimeError, IndexError, ValueError) as error:
        raise UserError(f"{file}: {key} has shape {tuple(tensor.shape)}, which its layout does not allow") from error


def _joined(target: str, given: Mapping[str, tuple[str, Tensor]], file: str) -> tuple[str, Tensor]:
    missing = [part for part in PARTS if part not in given]
    if missing:
        present = ", ".join(key for key, _ in given.values())
        raise UserError(f"{file}: {', '.join(missing)} of {target} missing; present: {present}")
    keys, tensors = zip(*(given[part] for part in PARTS), strict=True)
    try:
        return ", ".join(keys), torch.cat(tensors)
    except RuntimeError as error:
        shapes = ", ".join(f"{key} {tuple(tensor.shape)}" for key, tensor in given.values())
        raise UserError(f"{file}: the parts of {target} cannot be joined: {shapes}") from error


def _put(result: Translated, target: str, key: str, tensor: Tensor, file: str) -> None:
    if target in result.tensors:
        raise UserError(f"{file}: {result.sources[target]} and {key} both map to {target}; remove one")
    result.tensors[target], result.sources[target] = tensor, key


def some(names: Sequence[str]) -> str:
    """Join names as text, the first few of many."""
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(names[:MAX_SHOWN]) + more
