"""Hashes the identity of a trial: everything that can change its result, and nothing else.

Costs are results. The block `measure` is therefore part of the identity and may be an axis like any other field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Set
from typing import Any

from harness.data.sets import data_sets

# the preset is only a name for sizes that are resolved; a path says where weights lie, their hash what they are
NOT_IDENTITY: dict[str, Set[str]] = {"model": {"size"}, "weights": {"file"}}


def canonical_json(value: Any) -> str:
    """Returns JSON with sorted keys, no spaces and the shortest floats; -0.0 is written as 0.0."""
    return json.dumps(_positive_zero(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _positive_zero(value: Any) -> Any:
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, dict):
        return {key: _positive_zero(item) for key, item in value.items()}
    return [_positive_zero(item) for item in value] if isinstance(value, list | tuple) else value


def block_text(name: str, fields: Mapping[str, Any]) -> str:
    """Returns canonical JSON of one block without the fields that are not part of its identity."""
    left_out = data_sets()[fields["name"]].location_fields if name == "data" else NOT_IDENTITY.get(name, set())
    return canonical_json({key: value for key, value in fields.items() if key not in left_out})


def config_text(block_texts: Mapping[str, str]) -> str:
    """Joins the canonical JSON of blocks into that of the whole configuration."""
    return "{" + ",".join(f'"{name}":{block_texts[name]}' for name in sorted(block_texts)) + "}"


def row_id(config: str, data_identity: str) -> str:
    """Returns 12 hex digits that identify a configuration without its seed."""
    return _short_hash(f'{{"config":{config},"data":{json.dumps(data_identity)}}}')


def trial_id(config: str, data_identity: str, seed: int) -> str:
    """Returns 12 hex digits that identify a configuration with its seed."""
    return _short_hash(f'{{"config":{config},"data":{json.dumps(data_identity)},"seed":{seed}}}')


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
