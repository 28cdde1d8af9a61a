"""Identity of a trial that is planned: everything that can change its result, and nothing else.

Costs are results. The block `measure` is therefore part of the identity and may be an axis like any other field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.data.sets import data_sets
from harness.store import identity
from harness.store.identity import NOT_IDENTITY, canonical_json, config_text, row_id, trial_id

__all__ = ["block_text", "canonical_json", "config_text", "row_id", "trial_id"]


def block_text(name: str, fields: Mapping[str, Any]) -> str:
    """Returns canonical JSON of one block without the fields that are not part of its identity."""
    left_out = data_sets()[fields["name"]].location_fields if name == "data" else NOT_IDENTITY.get(name, set())
    return identity.block_text(fields, left_out)
