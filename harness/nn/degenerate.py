"""A setting in which a variant equals another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class DegenerateCase:
    """A setting in which a variant must equal another: same weights in, same tokens out.

    `config` and `model` change the variant's own fields and the trunk's; `other_config` are fields of the other
    variant. At `at_init` the freshly initialised weights are compared, otherwise perturbed ones.
    `constant_clip` compares on a clip whose frames are all equal; `patches_only` leaves the class token out.
    """

    name: str
    equals: str
    config: Mapping[str, Any] = field(default_factory=dict)
    other_config: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    at_init: bool = False
    constant_clip: bool = False
    patches_only: bool = False
